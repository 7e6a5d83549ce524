"""The story of one operation while it runs: lines of progress that any number of watchers read, and its end.

It is live evidence only, kept in memory. What is true afterwards is in the facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from ployz.actors.messages.operations import Progress, Result
from ployz.clock import Clock
from ployz.killpoints import reach
from ployz.plan.effects import Phase

LINES_MAX: Final = 10_000
"""Of one story. A transfer of days says something twice a second; its oldest lines are of no use to anybody."""


class Story:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[Progress] = []
        self._dropped = 0
        self._news = anyio.Event()
        self.phase = Phase.LOCK
        self.begun = False
        self.result: Result | None = None

    def tell(
        self, text: str, *, round_number: int = 0, sent_bytes: int = 0, total_bytes: int = 0, elapsed_ms: int = 0
    ) -> None:
        line = Progress(
            seq=self._dropped + len(self._lines) + 1,
            at_ms=self._clock.wall_ms(),
            phase=self.phase,
            text=text,
            round=round_number,
            sent_bytes=sent_bytes,
            total_bytes=total_bytes,
            elapsed_ms=elapsed_ms,
        )
        self._lines.append(line)
        if len(self._lines) > LINES_MAX:
            self._lines.pop(0)
            self._dropped += 1
        self._wake()

    def enter(self, phase: Phase, text: str) -> None:
        reach("phase", phase)
        self.phase = phase
        self.tell(text)

    def end(self, result: Result) -> None:
        self.result = result
        self._wake()

    async def after(self, seq: int, wait_s: float) -> Sequence[Progress]:
        """The lines past `seq`. Waits for the first one, or for the end, at most `wait_s`."""
        with anyio.move_on_after(wait_s):
            while not self._past(seq) and self.result is None:
                await self._news.wait()
        return self._past(seq)

    def _past(self, seq: int) -> list[Progress]:
        return self._lines[max(0, seq - self._dropped) :]

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()
