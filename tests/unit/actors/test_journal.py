"""The journal: the local view of a running node is what a replay of its log would be."""

from __future__ import annotations

import anyio

from ployz.actors.journal import Journal
from ployz.clock import SystemClock
from ployz.events.log import Entry, Record
from ployz.events.memory_log import MemoryLog
from ployz.events.replay import replay
from ployz.events.types import RoutesHeld, RoutesReleased
from ployz.ids import OperationId, ServiceRef
from ployz.projections.local import LocalView

WEB = ServiceRef.parse("production/web")
OPERATION = OperationId("op-1")
HELD, RELEASED = RoutesHeld(WEB, (), 30_000), RoutesReleased(WEB, 0, 0)


class Counting(LocalView):
    def __init__(self, applied: list[int]) -> None:
        super().__init__()
        self._seqs = applied

    def apply(self, record: Record) -> None:
        self._seqs.append(record.seq)
        super().apply(record)


async def told(log: MemoryLog) -> LocalView:
    view = LocalView()
    await replay(log, view.apply)
    return view


def test_a_step_that_is_recorded_again_changes_nothing() -> None:
    async def main() -> None:
        log = MemoryLog(SystemClock())
        journal = Journal(log, LocalView())
        await journal.record("service/production/web", HELD, operation_id=OPERATION, step="hold")
        assert WEB in journal.view.holds
        await journal.record("service/production/web", RELEASED, operation_id=OPERATION, step="release")
        await journal.record("service/production/web", HELD, operation_id=OPERATION, step="hold")
        assert log.head == 2
        assert journal.view == await told(log)
        assert WEB not in journal.view.holds

    anyio.run(main, backend="trio")


def test_one_step_recorded_by_two_at_once_is_applied_once() -> None:
    async def main() -> None:
        log = MemoryLog(SystemClock())
        applied: list[int] = []
        journal = Journal(log, Counting(applied))
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(lambda: journal.record("web", HELD, operation_id=OPERATION, step="hold"))
        assert applied == [1]

    anyio.run(main, backend="trio")


def test_a_step_whose_answer_never_came_is_applied_when_it_is_recorded_again() -> None:
    """As when an actor breaks, and is made anew, while its record is being written."""

    async def main() -> None:
        log = MemoryLog(SystemClock())
        journal = Journal(log, LocalView())
        await log.append([Entry("web", HELD, OPERATION, "hold")])
        assert WEB not in journal.view.holds
        await journal.record("web", HELD, operation_id=OPERATION, step="hold")
        assert journal.view == await told(log)

    anyio.run(main, backend="trio")


def test_what_was_folded_at_the_start_is_applied_no_second_time() -> None:
    async def main() -> None:
        log = MemoryLog(SystemClock())
        await log.append([Entry("web", HELD, OPERATION, "hold"), Entry("web", RELEASED, OPERATION, "release")])
        journal = Journal(log, await told(log))
        await journal.record("web", HELD, operation_id=OPERATION, step="hold")
        assert WEB not in journal.view.holds

    anyio.run(main, backend="trio")
