"""Backups of a fact log, of SQLite and of a real etcd: what is in one, and that it goes on elsewhere."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import anyio
import pytest

from ployz.errors import Code, Refused
from ployz.facts.backup import back_up
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.log import EtcdFactLog, begin
from ployz.facts.etcd.moving import move
from ployz.facts.port import Put, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from tests.etcds import Etcd, etcd
from tests.real import need
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import FOUNDED, A, B, applied, joined

TOO_LONG_S = 60.0
Log = EmbeddedFactLog | EtcdFactLog
_serials = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    need("etcd", "openssl")
    with etcd(tmp_path_factory.mktemp("backup")) as started:
        yield started


@asynccontextmanager
async def embedded(path: Path) -> AsyncIterator[EmbeddedFactLog]:
    log = await EmbeddedFactLog.open(path, HandClock())
    try:
        yield log
    finally:
        await log.aclose()


@asynccontextmanager
async def on_etcd(server: Etcd) -> AsyncIterator[EtcdFactLog]:
    async with Gateway(server.access(f"backup-{next(_serials)}/")) as gateway:
        await begin(gateway, revision_base=5_000)
        yield EtcdFactLog(gateway, HandClock())


Run = Callable[[Callable[[Log], Awaitable[None]]], None]


@pytest.fixture(params=["embedded", pytest.param("etcd", marks=pytest.mark.real)])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    server = request.getfixturevalue("server") if request.param == "etcd" else None

    def go(test: Callable[[Log], Awaitable[None]]) -> None:
        async def main() -> None:
            with anyio.fail_after(TOO_LONG_S):
                async with embedded(tmp_path / "facts.db") if server is None else on_etcd(server) as log:
                    await test(log)

        anyio.run(main, backend="trio")

    return go


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob("*.part*"))


async def fill(log: Log) -> None:
    await applied(log, Transaction((), (Put("stays", b"1"),), (FOUNDED,)))
    await applied(log, Transaction((), (), tuple(joined(A, number) for number in range(1, 1_200))))


def test_it_holds_every_fact_and_record_and_goes_on_from_there(run: Run, tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        await fill(log)
        last = (await applied(log, Transaction(()))).revision
        head = await back_up(log, tmp_path / "copy.db", HandClock())
        await applied(log, Transaction((), (Put("later", b""),), (joined(B, 2),)))
        assert head.position == 1_200
        async with embedded(tmp_path / "copy.db") as copy:
            for after in (0, 1_000):
                page = await copy.facts(after, limit=1_000, wait_s=0)
                there = await log.facts(after, limit=len(page), wait_s=0)
                assert [(each.position, each.hash, each.fact) for each in page] == [
                    (each.position, each.hash, each.fact) for each in there
                ]
            assert [(key, held.value) for key, held in await copy.list("")] == [("stays", b"1")]
            outcome = await applied(copy, Transaction((), (), (joined(B, 2),)))
            assert outcome.position == 1_201
            assert outcome.revision > last  # a fencing token of before fences after it

    run(test)


def test_nobody_else_reads_it_and_nothing_is_written_over(run: Run, tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        await fill(log)
        await back_up(log, tmp_path / "copy.db", HandClock())
        assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
        before = (tmp_path / "copy.db").read_bytes()
        for path in (tmp_path / "copy.db", tmp_path / "nowhere" / "copy.db"):
            with pytest.raises(Refused) as refused:
                await back_up(log, path, HandClock())
            assert refused.value.code is Code.USAGE
        assert (tmp_path / "copy.db").read_bytes() == before
        assert not leftovers(tmp_path)

    run(test)


def test_a_lock_is_not_held_for_ever_in_a_copy(run: Run, tmp_path: Path) -> None:
    async def test(log: Log) -> None:
        await fill(log)
        lease = await log.grant(30)
        await applied(log, Transaction((), (Put("lock", b"", lease),)))
        await back_up(log, tmp_path / "copy.db", HandClock())
        clock = HandClock()
        copy = await EmbeddedFactLog.open(tmp_path / "copy.db", clock)
        try:
            clock.now_s += 31
            assert await copy.read("lock") is None
        finally:
            await copy.aclose()

    run(test)


@pytest.mark.real
def test_a_backup_of_one_etcd_is_moved_to_another(server: Etcd, tmp_path: Path) -> None:
    async def test() -> None:
        async with on_etcd(server) as first:
            await fill(first)
            head = await back_up(first, tmp_path / "facts.db", HandClock())
        async with (
            embedded(tmp_path / "facts.db") as restored,
            Gateway(server.access(f"backup-{next(_serials)}/")) as gateway,
        ):
            assert await move(restored, gateway, bytes(16)) == head
            outcome = await applied(EtcdFactLog(gateway, HandClock()), Transaction((), (), (joined(B, 2),)))
            assert outcome.position == head.position + 1
            assert outcome.revision > head.revision

    anyio.run(test, backend="trio")
