from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint
from trio.testing import MockClock

from ployz.clock import SystemClock
from ployz.errors import Code, PloyzError
from ployz.events.feed import Feed
from ployz.events.log import Entry
from ployz.events.memory_log import MemoryLog
from ployz.events.types import NodeStarted
from ployz.ids import MachineId, OperationId

OPERATION = OperationId("op-1")


def started(version: str, step: str | None = None) -> Entry:
    return Entry("node", NodeStarted(MachineId("a"), version), OPERATION if step else None, step)


def run(test: Callable[[Feed], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Feed(MemoryLog(SystemClock())))

    # Waiting takes no time: the clock jumps as soon as nothing else can happen.
    anyio.run(main, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


def test_what_is_there_already_is_not_waited_for() -> None:
    async def test(feed: Feed) -> None:
        await feed.append([started("1")])
        assert await feed.wait(0, timeout_s=0)
        assert not await feed.wait(1, timeout_s=0)

    run(test)


def test_a_reader_that_waits_in_vain_gets_nothing_when_its_time_is_over() -> None:
    async def test(feed: Feed) -> None:
        before_s = anyio.current_time()
        assert list(await feed.next(0, limit=10, wait_s=30)) == []
        assert anyio.current_time() - before_s == pytest.approx(30)

    run(test)


def test_every_reader_sees_every_record_from_its_own_position() -> None:
    async def test(feed: Feed) -> None:
        await feed.append([started("1"), started("2")])
        seen: dict[int, list[int]] = {}

        async def follow(after: int, limit: int) -> None:
            mine = seen.setdefault(after, [])
            while not mine or mine[-1] < 20:
                page = await feed.next(mine[-1] if mine else after, limit=limit, wait_s=30)
                assert 0 < len(page) <= limit
                mine.extend(record.seq for record in page)

        async with anyio.create_task_group() as group:
            group.start_soon(follow, 0, 1)
            group.start_soon(follow, 1, 7)
            group.start_soon(follow, 5, 100)
            for number in range(3, 21):
                await feed.append([started(str(number))])
                await checkpoint()
        assert seen == {0: list(range(1, 21)), 1: list(range(2, 21)), 5: list(range(6, 21))}

    run(test)


def test_an_append_of_what_is_there_already_wakes_nobody() -> None:
    async def test(feed: Feed) -> None:
        await feed.append([started("1", "fence")])
        results: list[bool] = []

        async def wait() -> None:
            results.append(await feed.wait(1, timeout_s=5))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await checkpoint()
            await feed.append([started("1", "fence")])
        assert results == [False]

    run(test)


def test_a_reader_wakes_even_when_the_appender_only_knows_that_the_commit_failed() -> None:
    async def main() -> None:
        log = MemoryLog(SystemClock())
        feed = Feed(log)
        log.fail_next_append(written=True)
        with pytest.raises(PloyzError):
            await feed.append([started("1")])
        assert await feed.wait(0, timeout_s=0)

    anyio.run(main, backend="trio")


def test_a_feed_ends_its_node_when_the_log_has_failed() -> None:
    async def main() -> None:
        log = MemoryLog(SystemClock())
        feed = Feed(log)
        log.fail_next_append(written=False)
        with pytest.RaisesGroup(PloyzError):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(feed.run)
                with pytest.raises(PloyzError):
                    await feed.append([started("1")])

    anyio.run(main, backend="trio")


def test_a_feed_whose_log_finds_no_room_ends_nothing_and_takes_more_when_there_is_some() -> None:
    async def main() -> None:
        log = MemoryLog(SystemClock())
        feed = Feed(log)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run)
            log.fill_up(full=True)
            with pytest.raises(PloyzError) as refused:
                await feed.append([started("1")])
            assert refused.value.code is Code.STATE_FULL
            await checkpoint()
            assert list(await feed.read(0, 5)) == []
            log.fill_up(full=False)
            await feed.append([started("2")])
            assert feed.head == 1
            tasks.cancel_scope.cancel()

    anyio.run(main, backend="trio")


def test_a_feed_is_a_log() -> None:
    async def test(feed: Feed) -> None:
        (record,) = await feed.append([started("1", "fence")])
        assert feed.head == 1
        assert list(await feed.read(0, 5)) == [record]
        assert await feed.find(OPERATION, "fence") == record
        assert list(await feed.of_operation(OPERATION)) == [record]
        assert [row.hash for row in await feed.rows(0, 5)] == [record.hash]
        await feed.aclose()
        with pytest.raises(PloyzError):
            await feed.read(0, 5)

    run(test)
