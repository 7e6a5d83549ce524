"""Intent before an effect, outcome after it: the one way in which actors change the world.

A step is an (operation, step) pair. Performed again, it returns the outcome that the log has, and does nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

import anyio
from attrs import define, field

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
    _applied: deque[int] = field(factory=lambda: deque(maxlen=APPLIED_KNOWN), init=False)
    """The last ones, by their place in the log."""

    async def record(
        self, stream: str, event: Event, *, operation_id: OperationId | None = None, step: str | None = None
    ) -> None:
        """Something that happened. With a step: once."""
        await self.append([Entry(stream, event, operation_id, step)])

    async def append(self, entries: list[Entry]) -> None:
        before = self.log.head
        # Cancelled in between, the log would be ahead of the view, and nothing would bring it up to date.
        with anyio.CancelScope(shield=True):
            records = await self.log.append(entries)
        for record in records:
            # A step that the log has already comes back as the record of then: replay meets it once, and so must this.
            if record.seq > before and record.seq not in self._applied:
                self._applied.append(record.seq)
                self.view.apply(record)

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
