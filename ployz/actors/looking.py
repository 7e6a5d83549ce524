"""Looking again: what an actor once made on its host is compared with what should be there, and put back.

On a timer, when the host's own news say so, and before an operation needs it. What is wrong and how it is put right is
the actor's word; when, how often and that it is told is decided here, for all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from attrs import define, field

from ployz.actors.parts import Parts
from ployz.errors import PloyzError
from ployz.events.types import PutBack, TakenAway
from ployz.plan import struggles
from ployz.plan.struggles import Wrong

LOOK_EVERY_S: Final = 20.0
JITTER_S: Final = 5.0
"""On top, so that the machines of a cluster and the actors of a machine do not look at one instant."""
CLOSELY_S: Final = 3.0
"""While something is wrong."""
NEWS_S: Final = 0.3
"""What goes, goes with others: a prune is many events."""
NAMES_MAX: Final = 10
"""So many an event names."""

_log = logging.getLogger("ployz.looking")


@define
class LookingAgain:
    """Of one actor. `run` is a background task of it."""

    parts: Parts
    topic: str
    """`overlay` or `docker`: under it the doctor finds what somebody keeps changing."""
    look: Callable[[], Awaitable[Wrong]]
    """Reads only."""
    repair: Callable[[frozenset[str]], Awaitable[frozenset[str]]]
    """Puts these kinds back, or begins to. Which of them; the others are being put back already."""
    _lock: anyio.Lock = field(factory=anyio.Lock, init=False)
    _news: anyio.Event = field(factory=anyio.Event, init=False)

    def soon(self) -> None:
        """The host says that something went."""
        self._news.set()

    async def run(self) -> None:
        while True:
            with anyio.move_on_after(self._pause_s()):
                await self._news.wait()
                await anyio.sleep(NEWS_S)
            self._news = anyio.Event()
            try:
                await self.now()
            except PloyzError as error:
                _log.warning("%s could not be looked at again: %s", self.topic, error)

    async def now(self) -> None:
        """One look, and what follows from it. `PloyzError`: it could not be looked at, or not be put back."""
        async with self._lock:
            await self._see(await self.look())
            kinds = struggles.due(self._struggles, self._now_s())
            if kinds:
                done = await self.repair(kinds)
                self.parts.struggles[self.topic] = struggles.put_back(self._struggles, done, self._now_s())

    async def _see(self, wrong: Wrong) -> None:
        before = self._struggles
        now = struggles.seen(before, wrong, self._now_s())
        self.parts.struggles[self.topic] = now
        for kind, each in now.items():
            was_wrong = kind in before and bool(before[kind].wrong)
            if each.wrong and not was_wrong:
                _log.warning("%s: not as ployz made it: %s", kind, "; ".join(each.wrong))
                await self._tell(TakenAway(kind, each.wrong[:NAMES_MAX]))
            elif was_wrong and not each.wrong:
                await self._tell(PutBack(kind, each.repairs))

    async def _tell(self, event: TakenAway | PutBack) -> None:
        await self.parts.journal.record(f"host/{event.kind}", event)

    @property
    def _struggles(self) -> struggles.Struggles:
        return self.parts.struggles.get(self.topic, {})

    def _pause_s(self) -> float:
        if any(each.wrong for each in self._struggles.values()):
            return CLOSELY_S
        return LOOK_EVERY_S + JITTER_S * self.parts.entropy(1)[0] / 256

    def _now_s(self) -> float:
        return self.parts.clock.monotonic_s()
