"""Intent before an effect, outcome after it: the one way in which actors change the world.

A step is an (operation, step) pair. Performed again, it returns the outcome that the log has, and does nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

from attrs import Factory, define, field

from ployz.errors import PloyzError
from ployz.events.log import Entry, EventLog
from ployz.events.types import Event, StepBegun, StepFailed
from ployz.ids import OperationId
from ployz.projections.local import LocalView

E = TypeVar("E", bound=Event)

APPLIED_KNOWN: Final = 1_000
"""More than were ever appended beside one another."""


@define(eq=False)
class Journal:
    """Appends to the machine's log and keeps its local view up to date."""

    log: EventLog
    view: LocalView
    _before: int = field(default=Factory(lambda self: self.log.head, takes_self=True), init=False)
    """All up to this place in the log are in the view."""
    _applied: dict[int, None] = field(factory=dict, init=False)
    """Of those behind it, the ones that are."""

    async def record(
        self, stream: str, event: Event, *, operation_id: OperationId | None = None, step: str | None = None
    ) -> None:
        """Something that happened. With a step: once."""
        await self.append([Entry(stream, event, operation_id, step)])

    async def append(self, entries: list[Entry]) -> None:
        for record in await self.log.append(entries):
            # A step that the log has already comes back as the record of then: replay meets it once, and so must this.
            # It may not have been met yet: whoever appended it may have been cancelled before the answer came.
            if record.seq > self._before and record.seq not in self._applied:
                self._applied[record.seq] = None
                self.view.apply(record)
        while len(self._applied) > APPLIED_KNOWN:
            oldest = next(iter(self._applied))
            del self._applied[oldest]
            self._before = max(self._before, oldest)

    async def perform(
        self,
        operation_id: OperationId,
        step: str,
        stream: str,
        detail: str,
        effect: Callable[[], Awaitable[E]],
    ) -> E:
        """Runs `effect` between its intent and its outcome, and returns the outcome.

        An effect that ran before a crash, without an outcome in the log, runs again: effects are idempotent. A failed
        effect leaves its words in the log, and may be tried again under the same step.
        """
        done = await self.log.find(operation_id, step)
        if done is not None:
            return cast("E", done.event)
        await self.record(stream, StepBegun(step, detail), operation_id=operation_id, step=f"{step}?")
        try:
            outcome = await effect()
        except PloyzError as error:
            await self.record(stream, StepFailed(step, error.code, error.problem.text), operation_id=operation_id)
            raise
        await self.record(stream, outcome, operation_id=operation_id, step=step)
        return outcome
