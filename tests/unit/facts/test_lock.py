from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from ployz.errors import Code, Failed, Refused, Unreachable
from ployz.facts import keys
from ployz.facts.lock import LEASE_S, LOST_AFTER_S, NamespaceLock, hold
from ployz.facts.memory import MemoryFactLog
from ployz.ids import OperationId
from tests.unit.facts.bad_line import BadLine, Loss
from tests.unit.facts.clocks import SchedulerClock, virtual_time
from tests.unit.facts.samples import OP, PRODUCTION, B, holder

CLOCK = SchedulerClock()


def run(test: Callable[[MemoryFactLog, BadLine], Awaitable[None]]) -> None:
    async def main() -> None:
        log = MemoryFactLog(CLOCK)
        await test(log, BadLine(log))

    anyio.run(main, backend="trio", backend_options=virtual_time())


def test_a_lock_stands_while_it_is_held_and_goes_with_it() -> None:
    async def test(log: MemoryFactLog, _: BadLine) -> None:
        async with hold(log, CLOCK, PRODUCTION, holder()) as lock:
            await anyio.sleep(3600)
            lock.check()
            assert await keys.lock(PRODUCTION).read(log) == keys.Standing(holder(), lock.token)
        assert await keys.lock(PRODUCTION).read(log) is None

    run(test)


def test_a_held_lock_is_refused_at_once_with_who_since_when_for_what_and_what_to_do() -> None:
    async def test(log: MemoryFactLog, _: BadLine) -> None:
        async with hold(log, CLOCK, PRODUCTION, holder()):
            begun_s = anyio.current_time()
            with pytest.raises(Refused) as refused:
                async with hold(log, CLOCK, PRODUCTION, holder(OperationId("op-2"), B)):
                    raise AssertionError("two hold it")
            assert anyio.current_time() == begun_s
        assert refused.value.code is Code.LOCK_HELD
        text, advice = refused.value.problem.text, refused.value.problem.advice
        for part in (
            "production",
            "machine-a",
            "root",
            "migrate production/db to machine-b",
            "2023-11-14 22:13:20 UTC",
        ):
            assert part in text
        assert f"ployzctl operation show {OP}" in advice

    run(test)


def test_a_refused_lock_leaves_the_holder_alone() -> None:
    async def test(log: MemoryFactLog, _: BadLine) -> None:
        async with hold(log, CLOCK, PRODUCTION, holder()) as lock:
            with pytest.raises(Refused):
                async with hold(log, CLOCK, PRODUCTION, holder(OperationId("op-2"), B)):
                    pass
            assert await keys.lock(PRODUCTION).read(log) == keys.Standing(holder(), lock.token)

    run(test)


def test_each_holder_has_a_higher_token() -> None:
    async def test(log: MemoryFactLog, _: BadLine) -> None:
        tokens: list[int] = []
        while len(tokens) < 3:
            async with hold(log, CLOCK, PRODUCTION, holder()) as lock:
                tokens.append(lock.token)
        assert tokens == sorted(set(tokens))

    run(test)


def test_an_error_of_the_holder_passes_through_as_it_is_and_the_lock_is_released() -> None:
    async def test(log: MemoryFactLog, _: BadLine) -> None:
        with pytest.raises(Failed, match="full"):
            async with hold(log, CLOCK, PRODUCTION, holder()):
                raise Failed(Code.NO_SPACE, "full")
        assert await keys.lock(PRODUCTION).read(log) is None

    run(test)


def test_a_cancelled_holder_releases_the_lock() -> None:
    async def test(log: MemoryFactLog, _: BadLine) -> None:
        with anyio.move_on_after(5):
            async with hold(log, CLOCK, PRODUCTION, holder()):
                await anyio.sleep_forever()
        assert await keys.lock(PRODUCTION).read(log) is None

    run(test)


async def _time_until_lost(lock: NamespaceLock) -> float:
    begun_s = anyio.current_time()
    await lock.lost.wait()
    return anyio.current_time() - begun_s


@pytest.mark.parametrize("hangs", [False, True], ids=["the line fails", "the line hangs"])
def test_a_lock_is_lost_twenty_seconds_after_the_last_good_renewal_was_sent(hangs: bool) -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        async with hold(line, CLOCK, PRODUCTION, holder()) as lock:
            await anyio.sleep(15)  # renewed at 10
            line.losses = [Loss.SILENCE] if hangs else []
            line.down = not hangs
            lost_after_s = await _time_until_lost(lock)
            assert lost_after_s == pytest.approx(10 + LOST_AFTER_S - 15)
            with pytest.raises(Failed) as failed:
                lock.check()
            assert failed.value.code is Code.LOCK_LOST
            assert await keys.lock(PRODUCTION).read(log) is not None  # the authority's lease is longer

    run(test)


def test_a_slow_answer_does_not_make_a_renewal_last_longer() -> None:
    async def test(_: MemoryFactLog, line: BadLine) -> None:
        async with hold(line, CLOCK, PRODUCTION, holder()) as lock:
            line.answer_takes_s = 4
            await anyio.sleep(15)  # sent at 10, answered at 14
            line.down = True
            assert await _time_until_lost(lock) == pytest.approx(10 + LOST_AFTER_S - 15)

    run(test)


def test_a_lock_survives_a_short_outage() -> None:
    async def test(_: MemoryFactLog, line: BadLine) -> None:
        async with hold(line, CLOCK, PRODUCTION, holder()) as lock:
            await anyio.sleep(9)
            line.down = True
            await anyio.sleep(8)
            lock.check()
            line.down = False
            await anyio.sleep(100)
            lock.check()
            assert not lock.lost.is_set()

    run(test)


def test_a_lock_whose_lease_was_ended_is_lost_at_the_next_renewal() -> None:
    async def test(log: MemoryFactLog, _: BadLine) -> None:
        async with hold(log, CLOCK, PRODUCTION, holder()) as lock:
            await log.revoke(1)
            assert await _time_until_lost(lock) <= 10
            with pytest.raises(Failed):
                lock.check()

    run(test)


def test_a_lost_lock_stays_lost() -> None:
    async def test(_: MemoryFactLog, line: BadLine) -> None:
        async with hold(line, CLOCK, PRODUCTION, holder()) as lock:
            line.down = True
            await lock.lost.wait()
            line.down = False
            await anyio.sleep(100)
            with pytest.raises(Failed):
                lock.check()

    run(test)


def test_a_holder_that_slept_through_its_renewals_knows_before_it_acts() -> None:
    class Suspended(SchedulerClock):
        """Runs on while the machine, and with it the scheduler, is asleep."""

        asleep_s = 0.0

        def monotonic_s(self) -> float:
            return super().monotonic_s() + self.asleep_s

    async def test(log: MemoryFactLog, _: BadLine) -> None:
        clock = Suspended()
        async with hold(log, clock, PRODUCTION, holder()) as lock:
            clock.asleep_s = LOST_AFTER_S
            with pytest.raises(Failed):
                lock.check()
            await anyio.sleep(60)  # the renewals that come now do not bring it back
            with pytest.raises(Failed):
                lock.check()

    run(test)


def test_a_release_that_gets_no_answer_is_left_to_the_end_of_the_lease() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        async with hold(line, CLOCK, PRODUCTION, holder()):
            line.losses = [Loss.SILENCE]
        assert await keys.lock(PRODUCTION).read(log) is not None
        await anyio.sleep(LEASE_S)
        async with hold(log, CLOCK, PRODUCTION, holder(OperationId("op-2"), B)):
            pass

    run(test)


def test_a_release_that_an_authority_misses_while_it_restarts_is_asked_for_again() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        async with hold(line, CLOCK, PRODUCTION, holder()):
            line.losses = [Loss.REQUEST, Loss.ANSWER]
        assert await keys.lock(PRODUCTION).read(log) is None

    run(test)


def test_a_lock_whose_answer_was_lost_is_given_back() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        line.losses = [Loss.NOTHING, Loss.ANSWER]  # the grant, the lock
        with pytest.raises(Unreachable):
            async with hold(line, CLOCK, PRODUCTION, holder()):
                raise AssertionError("nobody knows whether it is held")
        assert await keys.lock(PRODUCTION).read(log) is None

    run(test)
