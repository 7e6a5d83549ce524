"""Starting exited containers again, as their manifest's restart policy says, each after its pause.

Docker does not do it: it would not ask the gate. A container that ployz itself stops is told of before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from attrs import define, evolve, frozen

from ployz.actors.parts import Parts
from ployz.errors import PloyzError
from ployz.events.types import ContainerExited
from ployz.ids import SlotRef
from ployz.manifest.model import Restart
from ployz.plan.restart import SETTLED_AFTER_S, delay_s, should_restart

RECENT_MS: Final = 300_000
RECENT_MAX: Final = 10

Start = Callable[[SlotRef, str, str], Awaitable[bool]]
"""(slot, container, reason): starts it, if the facts and the gate still say so; whether it did."""


@frozen
class Restarted:
    """How often a container was started again, since this ployzd began to look after it."""

    times: int = 0
    recent_ms: tuple[int, ...] = ()
    """Wall times of the last few."""
    problem: str = ""
    """Why the last try did not start it. Empty: it did."""

    def within(self, now_ms: int, *, window_ms: int = RECENT_MS) -> int:
        """Of the last few, how many are not older than that."""
        return sum(now_ms - each <= window_ms for each in self.recent_ms)


@define
class _Due:
    slot: SlotRef
    failures: int
    at_s: float
    reason: str
    pending: bool = True


class Restarts:
    """One namespace's containers. `run` is a background task of the actor that owns it."""

    def __init__(self, parts: Parts, start: Start) -> None:
        self._parts = parts
        self._start = start
        self._expected: set[str] = set()
        self._due: dict[str, _Due] = {}
        self._started: dict[str, Restarted] = {}
        self._news = anyio.Event()

    def expect_exit(self, container: str) -> None:
        """Ployz is about to stop it: this exit is nobody's failure, and ends what was due for it."""
        self._expected.add(container)
        self._due.pop(container, None)

    def forget(self, container: str) -> None:
        """It is removed, or made anew: what was due for it, and how often it was started again, is of what was."""
        self._due.pop(container, None)
        self._started.pop(container, None)

    def restarted(self, container: str) -> Restarted:
        return self._started.get(container, Restarted())

    def starting(self, container: str) -> None:
        """From here on its exit is its own."""
        self._expected.discard(container)

    async def exited(self, slot: SlotRef, container: str, exit_code: int, policy: Restart) -> None:
        if container in self._expected:
            return
        await self._parts.journal.record(f"service/{slot.service}", ContainerExited(slot, container, exit_code))
        if should_restart(policy, exit_code):
            self.due(slot, container, f"exited with {exit_code}, policy {policy}")

    def due(self, slot: SlotRef, container: str, reason: str) -> None:
        """It is to run, and is started after its pause."""
        now_s = anyio.current_time()
        before = self._due.get(container)
        settled = before is None or now_s - before.at_s > SETTLED_AFTER_S
        failures = 1 if before is None or settled else before.failures + 1
        self._due[container] = _Due(slot, failures, now_s + delay_s(failures), reason)
        self._news.set()

    async def run(self) -> None:
        while True:
            self._news = anyio.Event()
            pending = [due for due in self._due.values() if due.pending]
            next_s = min((due.at_s for due in pending), default=float("inf"))
            with anyio.CancelScope(deadline=next_s):
                await self._news.wait()
            for container, due in list(self._due.items()):
                if due.pending and due.at_s <= anyio.current_time():
                    due.pending = False
                    await self._again(container, due)

    async def _again(self, container: str, due: _Due) -> None:
        before = self.restarted(container)
        try:
            if await self._start(due.slot, container, due.reason):
                recent_ms = (*before.recent_ms, self._parts.clock.wall_ms())[-RECENT_MAX:]
                self._started[container] = Restarted(before.times + 1, recent_ms)
        except PloyzError as error:
            self._started[container] = evolve(before, problem=error.problem.text)
            due.failures += 1
            due.at_s = anyio.current_time() + delay_s(due.failures)
            due.pending = True
