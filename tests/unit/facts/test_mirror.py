from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import evolve

from ployz.actors.messages.facts import FactsPage, FollowFacts, Transact
from ployz.errors import Code, Corrupt, Failed, PloyzError, Refused, Unreachable
from ployz.events.log import Entry, EventLog, Record
from ployz.events.memory_log import MemoryLog
from ployz.events.replay import facts_of, replay
from ployz.events.types import Fact, FactMirrored, NodeStarted
from ployz.facts.memory import MemoryFactLog
from ployz.facts.mirror import RETRY_MAX_S, STREAM, Mirror, Sink
from ployz.facts.port import FactLog, SequencedFact, Transaction
from ployz.projections.folded import Folded
from ployz.strict import pack, unpack
from ployz.wire.codec import decode_message, decode_reply, encode
from tests.unit.facts.bad_line import BadLine, Loss
from tests.unit.facts.clocks import SchedulerClock, virtual_time
from tests.unit.facts.samples import FOUNDED, A, applied, joined

CLOCK = SchedulerClock()


async def opened(facts: FactLog, events: EventLog, sinks: Sequence[Sink]) -> Mirror:
    """As a node starts: behind every fact that its own log has, which the sinks are given first."""
    folded = Folded()

    def load(record: Record) -> None:
        folded.apply(record)
        for position, at_ms, fact in facts_of([record]):
            for sink in sinks:
                sink(fact, position, at_ms)

    await replay(events, load)
    return Mirror(facts, events, sinks, folded.view.position, folded.fact_hash)


class Host:
    """One machine: its own log, what its sinks were given, and its line to the authority."""

    def __init__(self, authority: MemoryFactLog) -> None:
        self.line = BadLine(authority)
        self.log = MemoryLog(CLOCK)
        self.given: list[tuple[int, Fact]] = []

    async def start(self) -> Mirror:
        self.given.clear()
        return await opened(self.line, self.log, [lambda fact, position, _: self.given.append((position, fact))])

    async def mirrored(self) -> list[tuple[int, Fact]]:
        events = [record.event for record in await self.log.read(0, 1000)]
        return [(event.position, event.fact) for event in events if isinstance(event, FactMirrored)]


def run(test: Callable[[MemoryFactLog, Host], Awaitable[None]]) -> None:
    async def main() -> None:
        authority = MemoryFactLog(CLOCK)
        await test(authority, Host(authority))

    anyio.run(main, backend="trio", backend_options=virtual_time())


async def commit_machines(log: MemoryFactLog, *numbers: int) -> None:
    await applied(log, Transaction((), (), tuple(joined(A, number) for number in numbers)))


def machines(*numbers: int) -> list[tuple[int, Fact]]:
    """What commits of 1, 2, 3… give."""
    return [(number, joined(A, number)) for number in numbers]


async def follow_to(mirror: Mirror, position: int) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mirror.run)
        await mirror.wait_for(position, 100)
        tasks.cancel_scope.cancel()


def test_a_mirror_takes_every_fact_in_order_and_gives_it_to_its_sinks() -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        await commit_machines(authority, *range(1, 251))  # more than two batches
        mirror = await host.start()
        await follow_to(mirror, 250)
        assert host.given == await host.mirrored() == machines(*range(1, 251))
        assert {record.stream for record in await host.log.read(0, 1000)} == {STREAM}

    run(test)


def test_a_mirror_follows_what_is_committed_while_it_waits() -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        mirror = await host.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mirror.run)
            for number in (1, 2, 3):
                await anyio.sleep(1000)
                begun_s = anyio.current_time()
                await commit_machines(authority, number)
                await mirror.wait_for(number, 100)
                assert anyio.current_time() == begun_s
            tasks.cancel_scope.cancel()
        assert host.given == machines(1, 2, 3)

    run(test)


def test_a_restarted_mirror_gives_what_it_has_without_asking_and_goes_on_from_there() -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        await commit_machines(authority, 1, 2)
        await follow_to(await host.start(), 2)
        await host.log.append([Entry("node", NodeStarted(A, "1"))])
        host.line.down = True
        mirror = await host.start()
        assert mirror.position == 2
        assert host.given == machines(1, 2)
        host.line.down = False
        await commit_machines(authority, 3)
        await follow_to(mirror, 3)
        assert host.given == await host.mirrored() == machines(1, 2, 3)

    run(test)


def test_sinks_see_the_same_times_live_and_in_replay() -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        live: list[int] = []
        replayed: list[int] = []
        await commit_machines(authority, 1)
        await anyio.sleep(77)
        await follow_to(await opened(host.line, host.log, [lambda *given: live.append(given[2])]), 1)
        await opened(host.line, host.log, [lambda *given: replayed.append(given[2])])
        assert live == replayed == [CLOCK.wall_ms()]

    run(test)


@pytest.mark.parametrize(
    "trouble",
    [
        Unreachable(Code.NODE_UNREACHABLE, "no route"),
        Failed(Code.LOG_FAILED, "its disk failed"),
        Refused(Code.MAILBOX_FULL, "too much to do"),
    ],
    ids=lambda trouble: str(trouble.code),
)
def test_an_authority_in_trouble_is_asked_again_with_growing_pauses(trouble: PloyzError) -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        mirror = await host.start()
        host.line.error = trouble
        host.line.down = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mirror.run)
            await commit_machines(authority, 1)
            await anyio.sleep(1000)
            assert mirror.position == 0
            host.line.down = False
            await mirror.wait_for(1, RETRY_MAX_S + 0.1)
            tasks.cancel_scope.cancel()
        assert host.given == machines(1)

    run(test)


def test_facts_that_find_no_room_are_asked_for_again() -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        mirror = await host.start()
        host.log.fill_up(full=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mirror.run)
            await commit_machines(authority, 1, 2)
            await anyio.sleep(1000)
            with pytest.raises(Unreachable, match=r"at 0, and takes none: log\.db cannot grow"):
                await mirror.wait_for(1, 1)
            host.log.fill_up(full=False)
            await mirror.wait_for(2, RETRY_MAX_S + 0.1)
            tasks.cancel_scope.cancel()
        assert host.given == await host.mirrored() == machines(1, 2)

    run(test)


class SlowLog(MemoryLog):
    """Answers some time after it wrote, like a disk."""

    async def append(self, entries: Sequence[Entry]) -> Sequence[Record]:
        records = await super().append(entries)
        await checkpoint()
        return records


def test_a_mirror_that_is_stopped_at_any_step_and_run_again_takes_nothing_twice() -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        host.log = SlowLog(CLOCK)
        mirror = await host.start()
        for steps in range(20):
            await commit_machines(authority, steps + 1)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(mirror.run)
                for _ in range(steps):
                    await checkpoint()
                tasks.cancel_scope.cancel()
        await follow_to(mirror, 20)
        assert host.given == await host.mirrored() == machines(*range(1, 21))

    run(test)


def test_waiting_for_a_fact_that_does_not_come_is_bounded() -> None:
    async def test(_: MemoryFactLog, host: Host) -> None:
        mirror = await host.start()
        with pytest.raises(Unreachable, match="fact 7") as late:
            await mirror.wait_for(7, 3)
        assert late.value.code is Code.TIMED_OUT
        assert anyio.current_time() == 3

    run(test)


# ---------------------------------------------------------------- forks


class Forging(BadLine):
    """An authority, or somebody on the way, that shows another history."""

    def __init__(self, log: MemoryFactLog, forge: Callable[[SequencedFact], SequencedFact]) -> None:
        super().__init__(log)
        self.forge = forge

    async def facts(self, after: int, *, limit: int, wait_s: float) -> list[SequencedFact]:
        return [self.forge(each) for each in await super().facts(after, limit=limit, wait_s=wait_s)]


async def _expect_fork(mirror: Mirror) -> None:
    with pytest.raises(Corrupt) as forked, anyio.fail_after(1000):
        await mirror.run()
    assert forked.value.code is Code.FORKED
    assert forked.value.problem.advice


@pytest.mark.parametrize(
    "forge",
    [
        lambda each: evolve(each, fact=FOUNDED) if each.position == 3 else each,
        lambda each: evolve(each, hash=b"\1" * 32) if each.position == 3 else each,
        lambda each: evolve(each, position=each.position + 1),
        lambda each: evolve(each, position=each.position - 1) if each.position == 3 else each,
    ],
    ids=["another fact", "another hash", "a gap", "a position twice"],
)
def test_a_fact_that_does_not_fit_stops_the_mirror_and_nothing_of_its_batch_is_taken(
    forge: Callable[[SequencedFact], SequencedFact],
) -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        await commit_machines(authority, 1, 2, 3)
        host.line = Forging(authority, forge)
        mirror = await host.start()
        await _expect_fork(mirror)
        assert (mirror.position, await host.mirrored(), host.given) == (0, [], [])

    run(test)


@pytest.mark.parametrize("restored", [(), (1,), (1, 3), (1, 3, 4)], ids=str)
def test_an_authority_restored_from_an_old_copy_is_found_out_before_anything_new_is_committed(
    restored: tuple[int, ...],
) -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        await commit_machines(authority, 1, 2)
        await follow_to(await host.start(), 2)
        other = MemoryFactLog(CLOCK)
        await commit_machines(other, *restored)
        host.line.log = other
        await _expect_fork(await host.start())
        assert await host.mirrored() == machines(1, 2)

    run(test)


def test_an_authority_that_was_exchanged_while_it_was_away_is_found_out() -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        await commit_machines(authority, 1, 2)
        mirror = await host.start()
        await follow_to(mirror, 2)
        other = MemoryFactLog(CLOCK)
        await commit_machines(other, 1)

        async def exchange() -> None:
            await anyio.sleep(10)
            host.line.losses = [Loss.REQUEST]
            host.line.log = other

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange)
            await _expect_fork(mirror)

    run(test)


class NewerAuthority(BadLine):
    """Fact 3 and those after it are of a version that only a newer ployz knows."""

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        page = FactsPage(tuple(await super().facts(after, limit=limit, wait_s=wait_s)))
        body = unpack(encode(page), limit_bytes=1 << 20)
        for each in body["facts"]:
            if each["position"] >= 3:
                name, version, fields = each["fact"]
                each["fact"] = [name, version + 1, {**fields, "novelty": 1}]
        return decode_reply(FollowFacts(after, limit, wait_s), pack(body)).facts


def test_a_mirror_that_meets_a_fact_of_a_newer_ployz_stops_there_and_says_what_to_install() -> None:
    """It neither skips it nor guesses what it means, and a newer ployz goes on from what is there."""

    async def test(authority: MemoryFactLog, host: Host) -> None:
        await commit_machines(authority, 1, 2)
        line = host.line
        host.line = NewerAuthority(authority)
        mirror = await host.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_expect_unknown_event, mirror)
            await mirror.wait_for(2, 100)
            await commit_machines(authority, 3, 4)
        assert host.given == await host.mirrored() == machines(1, 2)
        host.line = line
        await follow_to(await host.start(), 4)
        assert host.given == machines(1, 2, 3, 4)

    run(test)


async def _expect_unknown_event(mirror: Mirror) -> None:
    with pytest.raises(Corrupt) as met:
        await mirror.run()
    assert met.value.code is Code.UNKNOWN_EVENT
    assert "machine.joined/2: ployz" in met.value.problem.text
    assert met.value.problem.advice == "install the ployz that wrote it, or a newer one"


def test_a_transaction_with_a_fact_of_a_newer_ployz_is_refused_before_anything_of_it_is_written() -> None:
    body = unpack(encode(Transact(Transaction((), (), (joined(A, 1),)))), limit_bytes=1 << 20)
    name, version, fields = body["transaction"]["facts"][0]
    body["transaction"]["facts"][0] = [name, version + 1, fields]
    with pytest.raises(Corrupt) as refused:
        decode_message(Transact.tag, pack(body))
    assert refused.value.code is Code.UNKNOWN_EVENT


def test_a_local_log_with_a_gap_of_facts_is_refused() -> None:
    async def test(_: MemoryFactLog, host: Host) -> None:
        await host.log.append([Entry(STREAM, FactMirrored(2, b"\0" * 32, FOUNDED))])
        with pytest.raises(Corrupt) as corrupt:
            await host.start()
        assert corrupt.value.code is Code.LOG_CORRUPT

    run(test)


@pytest.mark.parametrize("written", [False, True])
def test_a_local_log_that_fails_stops_the_mirror_and_a_restart_takes_nothing_twice(written: bool) -> None:
    async def test(authority: MemoryFactLog, host: Host) -> None:
        await commit_machines(authority, 1)
        mirror = await host.start()
        host.log.fail_next_append(written=written)
        with pytest.raises(Unreachable, match="commit failed"):
            await mirror.run()
        assert (mirror.position, host.given) == (0, [])
        host.log = host.log.crash()
        await follow_to(await host.start(), 1)
        assert host.given == await host.mirrored() == machines(1)

    run(test)
