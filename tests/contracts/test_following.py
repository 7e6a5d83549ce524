"""A machine's fact log that follows when the facts move from the founding machine to a real etcd."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import anyio
import pytest
from attrs import frozen

from ployz.actors.facts import FactsActor
from ployz.actors.following import FollowingFactLog
from ployz.actors.system import ActorSystem
from ployz.errors import Code, Refused
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.moving import move
from ployz.facts.port import Put, SequencedFact, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from tests.etcds import Etcd, etcd
from tests.real import need
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import FOUNDED, A, applied, joined

pytestmark = pytest.mark.real

TOO_LONG_S = 60.0
LOG_ID = bytes(16)
_serials = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    need("etcd", "openssl")
    with etcd(tmp_path_factory.mktemp("following")) as started:
        yield started


@frozen
class Given:
    system: ActorSystem
    source: EmbeddedFactLog
    gateway: Gateway
    founder: FollowingFactLog
    other: FollowingFactLog

    async def move(self) -> None:
        await move(self.source, self.gateway, LOG_ID)


@asynccontextmanager
async def cluster(server: Etcd, folder: Path) -> AsyncIterator[Given]:
    """The founding machine and one other, whose question for the founder comes to the same system."""
    clock = HandClock()
    source = await EmbeddedFactLog.open(folder / "facts.db", clock)
    try:
        async with (
            ActorSystem(A) as system,
            Gateway(server.access(f"follow-{next(_serials)}/")) as gateway,
            FollowingFactLog(source, system.ref("facts"), folder / "founder.json", clock) as founder,
            FollowingFactLog(None, system.ref("facts"), folder / "other.json", clock) as other,
        ):
            system.spawn("facts", partial(FactsActor, source))
            with anyio.fail_after(TOO_LONG_S):
                yield Given(system, source, gateway, founder, other)
    finally:
        await source.aclose()


def test_both_go_on_where_the_facts_are_now(server: Etcd, tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(server, tmp_path) as given:
            await applied(given.other, Transaction((), (Put("k", b"1"),), (FOUNDED,)))
            await given.move()
            second = await applied(given.other, Transaction((), (), (joined(A, 1),)))
            assert second.position == 2
            assert [each.position for each in await given.founder.facts(0, limit=9, wait_s=0)] == [1, 2]
            held = await given.founder.read("k")
            assert held is not None
            assert held.value == b"1"

    anyio.run(test, backend="trio")


def test_who_waits_for_the_next_fact_gets_it_from_where_it_is_committed(server: Etcd, tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(server, tmp_path) as given:
            await applied(given.other, Transaction((), (), (FOUNDED,)))
            got: list[SequencedFact] = []

            async def wait() -> None:
                got.extend(await given.other.facts(1, limit=1, wait_s=TOO_LONG_S))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                await given.move()
                await applied(given.founder, Transaction((), (), (joined(A, 1),)))
            assert [each.fact for each in got] == [joined(A, 1)]

    anyio.run(test, backend="trio")


def test_after_a_restart_it_needs_the_founding_machine_no_more(server: Etcd, tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(server, tmp_path) as given:
            await applied(given.other, Transaction((), (), (FOUNDED,)))
            await given.move()
            await given.other.read("k")
            await given.system.stop("facts")
            remembered = tmp_path / "other.json"
            assert stat.S_IMODE(remembered.stat().st_mode) == 0o600
            async with FollowingFactLog(None, given.system.ref("facts"), remembered, HandClock()) as again:
                assert len(await again.facts(0, limit=9, wait_s=0)) == 1

    anyio.run(test, backend="trio")


def test_while_nothing_has_moved_nobody_is_sent_elsewhere(server: Etcd, tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(server, tmp_path) as given:
            with pytest.raises(Refused) as refused:
                await given.other._follow()
            assert refused.value.code is Code.CONFLICT
            assert given.other.etcd is None

    anyio.run(test, backend="trio")
