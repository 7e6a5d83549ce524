"""Moving a fact log from SQLite to a real etcd: interrupted at every request, and run again."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from ployz.errors import Code, Corrupt, Refused, Unreachable
from ployz.facts import keys
from ployz.facts.etcd.forms import Json
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.log import EtcdFactLog, begin
from ployz.facts.etcd.moving import move
from ployz.facts.port import Delete, Put, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from tests.etcds import Etcd, etcd
from tests.real import need
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import FOUNDED, PRODUCTION, A, applied, joined, take_lock

pytestmark = pytest.mark.real

LOG_ID = b"a log of one kind"[:16]
TOO_LONG_S = 120.0
_serials = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    need("etcd", "openssl")
    with etcd(tmp_path_factory.mktemp("moving")) as started:
        yield started


Test = Callable[[EmbeddedFactLog, Gateway], Awaitable[None]]


def go(server: Etcd, folder: Path, test: Test) -> None:
    async def main() -> None:
        with anyio.fail_after(TOO_LONG_S):
            source = await EmbeddedFactLog.open(folder / "facts.db", HandClock())
            try:
                async with Gateway(server.access(f"move-{next(_serials)}/")) as gateway:
                    await test(source, gateway)
            finally:
                await source.aclose()

    anyio.run(main, backend="trio")


async def fill(source: EmbeddedFactLog) -> None:
    await applied(source, Transaction((), (Put("gone", b""), Put("stays", b"1")), (FOUNDED,)))
    await applied(source, Transaction((), (Delete("gone"),), tuple(joined(A, number) for number in range(1, 150))))
    await applied(source, Transaction((), tuple(Put(f"record/{number}", b"x") for number in range(120))))


def test_it_goes_on_with_the_same_facts_records_and_rising_revisions(server: Etcd, tmp_path: Path) -> None:
    async def test(source: EmbeddedFactLog, gateway: Gateway) -> None:
        await fill(source)
        facts = [*await source.facts(0, limit=1000, wait_s=0)]
        records = [(key, held.value) for key, held in await source.list("")]
        last = (await applied(source, Transaction(()))).revision
        head = await move(source, gateway, LOG_ID)
        assert (head.position, head.hash) == (150, facts[-1].hash)
        moved = EtcdFactLog(gateway, HandClock())
        assert [*await moved.facts(0, limit=1000, wait_s=0)] == facts
        assert [(key, held.value) for key, held in await moved.list("")] == records
        outcome = await applied(moved, Transaction((), (), (FOUNDED,)))
        assert outcome.position == 151
        assert outcome.revision > last

    go(server, tmp_path, test)


def test_the_old_log_is_sealed_for_good(server: Etcd, tmp_path: Path) -> None:
    async def test(source: EmbeddedFactLog, gateway: Gateway) -> None:
        await fill(source)
        await move(source, gateway, LOG_ID)
        await source.aclose()
        again = await EmbeddedFactLog.open(tmp_path / "facts.db", HandClock())
        try:
            for ask in (
                lambda: again.transact(Transaction((), (), (FOUNDED,))),
                lambda: again.read("stays"),
                lambda: again.list(""),
                lambda: again.facts(0, limit=1, wait_s=0),
                lambda: again.facts(150, limit=1, wait_s=30),
                lambda: again.grant(30),
                lambda: again.keep_alive(1),
                lambda: again.revoke(1),
            ):
                with pytest.raises(Refused) as refused:
                    await ask()
                assert refused.value.code is Code.FACTS_MOVED
            assert again.move is not None
            assert again.move.access == gateway.access.text()
            await move(again, gateway, b"another attempt!")
        finally:
            await again.aclose()

    go(server, tmp_path, test)


def test_whoever_waits_for_a_fact_is_told_at_once_that_it_comes_elsewhere(server: Etcd, tmp_path: Path) -> None:
    async def test(source: EmbeddedFactLog, gateway: Gateway) -> None:
        await fill(source)
        told: list[Code] = []

        async def wait() -> None:
            try:
                await source.facts(150, limit=1, wait_s=TOO_LONG_S)
            except Refused as error:
                told.append(error.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await move(source, gateway, LOG_ID)
        assert told == [Code.FACTS_MOVED]

    go(server, tmp_path, test)


class Failing(Gateway):
    """Fails at one request: before it is sent, or when the answer is there."""

    requests = 0
    fails_at = 0
    after = False

    async def write(self, path: str, body: Json) -> Json:
        return await self._passed(lambda: super(Failing, self).write(path, body))

    async def read(self, path: str, body: Json) -> Json:
        return await self._passed(lambda: super(Failing, self).read(path, body))

    async def _passed(self, send: Callable[[], Awaitable[Json]]) -> Json:
        self.requests += 1
        if self.requests == self.fails_at and not self.after:
            raise Unreachable(Code.OUTCOME_UNKNOWN, "cut before it was sent")
        answer = await send()
        if self.requests == self.fails_at:
            raise Unreachable(Code.OUTCOME_UNKNOWN, "cut before the answer came")
        return answer


def test_what_is_damaged_however_long_ago_is_found_before_the_log_commits_nothing_any_more(
    server: Etcd, tmp_path: Path
) -> None:
    path = tmp_path / "facts.db"

    async def main() -> None:
        source = await EmbeddedFactLog.open(path, HandClock())
        await fill(source)
        await source.aclose()
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE facts SET hash = zeroblob(32) WHERE position = 5")
            database.commit()
        source = await EmbeddedFactLog.open(path, HandClock(), checked=10)
        async with Gateway(server.access(f"move-{next(_serials)}/")) as gateway:
            with pytest.raises(Corrupt, match="fact 5 is not what was committed"):
                await move(source, gateway, LOG_ID)
        assert source.move is None
        await applied(source, Transaction((), (), (FOUNDED,)))
        await source.aclose()

    anyio.run(main, backend="trio")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupted_at_any_request_it_is_run_again_and_ends_as_if_it_had_not_been(
    server: Etcd, tmp_path: Path, after: bool
) -> None:
    async def interrupted(number: int) -> bool:
        """Whether there was a request of that number."""
        path = tmp_path / f"{number}.db"
        source = await EmbeddedFactLog.open(path, HandClock())
        await fill(source)
        access = server.access(f"cut-{after}-{number}/")
        async with Failing(access) as gateway:
            gateway.fails_at, gateway.after = number, after
            try:
                await move(source, gateway, LOG_ID)
            except Unreachable:
                was_cut = True
            else:
                was_cut = False
        await source.aclose()
        source = await EmbeddedFactLog.open(path, HandClock())
        if source.move is None:  # it was not sealed yet: the cluster goes on committing
            await applied(source, Transaction((), (Delete("stays"),), (FOUNDED,)))
        expected = [(key, held.value) for key, held in await source.records()]
        facts = [*await source.everything(0)]
        async with Gateway(access) as gateway:
            await move(source, gateway, b"another attempt!")
            moved = EtcdFactLog(gateway, HandClock())
            assert [*await moved.facts(0, limit=1000, wait_s=0)] == facts
            assert [(key, held.value) for key, held in await moved.list("")] == expected
        await source.aclose()
        return was_cut

    async def main() -> None:
        number = 1
        while await interrupted(number):
            number += 1
        assert number > 8

    anyio.run(main, backend="trio")


def test_while_an_operation_holds_a_lock_nothing_is_moved(server: Etcd, tmp_path: Path) -> None:
    async def test(source: EmbeddedFactLog, gateway: Gateway) -> None:
        await fill(source)
        await take_lock(source)
        with pytest.raises(Refused, match=str(PRODUCTION)) as refused:
            await move(source, gateway, LOG_ID)
        assert refused.value.code is Code.LOCK_HELD
        assert source.move is None
        await applied(source, Transaction((), (), (FOUNDED,)))
        assert await keys.lock(PRODUCTION).read(source) is not None

    go(server, tmp_path, test)


def test_another_fact_log_is_not_written_over(server: Etcd, tmp_path: Path) -> None:
    async def test(source: EmbeddedFactLog, gateway: Gateway) -> None:
        await fill(source)
        await begin(gateway)
        with pytest.raises(Refused, match="another fact log") as refused:
            await move(source, gateway, LOG_ID)
        assert refused.value.code is Code.CONFLICT
        await applied(source, Transaction((), (), (FOUNDED,)))

    go(server, tmp_path, test)


def test_a_log_that_went_somewhere_goes_nowhere_else(server: Etcd, tmp_path: Path) -> None:
    async def test(source: EmbeddedFactLog, gateway: Gateway) -> None:
        await fill(source)
        await move(source, gateway, LOG_ID)
        async with Gateway(evolve(gateway.access, prefix="elsewhere/")) as other:
            with pytest.raises(Refused, match="is in another etcd") as refused:
                await move(source, other, LOG_ID)
            assert refused.value.code is Code.CONFLICT

    go(server, tmp_path, test)
