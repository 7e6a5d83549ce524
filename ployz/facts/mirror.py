"""The mirror: this machine's copy of the fact log, in its own event log, one fact after the other.

Reads and replays stay local through it. It takes only the next position, and stops for good when the history that it
is offered is not the one that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import anyio

from ployz.config import STATE_DIR
from ployz.errors import Code, Corrupt, Failed, Problem, Refused, Unreachable
from ployz.events.log import GENESIS_HASH, Entry, EventLog
from ployz.events.types import Fact, FactMirrored
from ployz.facts.chain import fact_hash
from ployz.facts.news import News
from ployz.facts.port import FactLog, SequencedFact

STREAM: Final = "facts"
BATCH: Final = 100
WAIT_S: Final = 30.0
"""How long one question waits at the authority for the next fact."""
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0

Sink = Callable[[Fact, int, int], None]
"""Takes each fact once, in order: the fact, its position, and the wall time in ms at which it was mirrored here."""


class Mirror:
    def __init__(
        self,
        facts: FactLog,
        events: EventLog,
        sinks: Sequence[Sink],
        position: int = 0,
        hash_: bytes = GENESIS_HASH,
    ) -> None:
        """`position`, `hash_`: of the last fact that the local log has. The sinks have it already."""
        self._facts = facts
        self._events = events
        self._sinks = tuple(sinks)
        self._position = position
        self._hash = hash_
        self._news = News()
        self._no_room: Problem | None = None
        """Why the facts that came last were not taken."""

    @property
    def position(self) -> int:
        """Of the last fact that is in the local log and in every sink; 0: none."""
        return self._position

    async def wait_for(self, position: int, timeout_s: float) -> None:
        """Until that fact is here. `Unreachable` (TIMED_OUT): it did not come in time."""
        await self._news.wait(lambda: self._position >= position, timeout_s)
        if self._position < position:
            full = self._no_room
            raise Unreachable(
                Code.TIMED_OUT,
                f"fact {position} did not arrive within {timeout_s:g} s; this machine is at {self._position}"
                + (f", and takes none: {full.text}" if full else ""),
                full.advice if full else "check that the authority can be reached: ployzctl machine ls",
            )

    async def run(self) -> NoReturn:
        """Follows until it is cancelled. It asks again, at last every 5 s, if the authority was away or there was no
        room for its facts.

        `Corrupt` (FORKED): the authority's history is not the one that is mirrored here.
        """
        same_history = False
        pause_s = RETRY_FIRST_S
        while True:
            try:
                if not same_history:
                    await self._compare_histories()
                    same_history = True
                page = await self._facts.facts(self._position, limit=BATCH, wait_s=WAIT_S)
            except (Unreachable, Failed, Refused):  # away, or there and with troubles of its own
                same_history = False  # what comes back may have been restored from an old copy
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
                continue
            try:
                await self._take(page)
            except Failed as error:
                if error.code is not Code.STATE_FULL:
                    raise
                self._no_room = error.problem
                await anyio.sleep(RETRY_MAX_S)  # nothing of it was taken: it is asked for again
                continue
            self._no_room = None
            pause_s = RETRY_FIRST_S

    async def _compare_histories(self) -> None:
        """Else a shorter or rewritten log is found out only when the next fact is committed to it."""
        if self._position == 0:
            return
        last = await self._facts.facts(self._position - 1, limit=1, wait_s=0)
        if not last or (last[0].position, last[0].hash) != (self._position, self._hash):
            raise self._forked()

    async def _take(self, page: Sequence[SequencedFact]) -> None:
        position, previous = self._position, self._hash
        entries: list[Entry] = []
        for each in page:
            position += 1
            if each.position != position or each.hash != fact_hash(previous, position, each.fact):
                raise self._forked()
            previous = each.hash
            entries.append(Entry(STREAM, FactMirrored(each.position, each.hash, each.fact)))
        if not entries:
            return
        # Cancelled in between, the log would be ahead of `_position`, and the next run would append them again.
        with anyio.CancelScope(shield=True):
            records = await self._events.append(entries)
        for entry, record in zip(page, records, strict=True):
            self._give(entry.fact, entry.position, entry.hash, record.at_ms)
        self._news.spread()

    def _give(self, fact: Fact, position: int, hash_: bytes, at_ms: int) -> None:
        for sink in self._sinks:
            sink(fact, position, at_ms)
        self._position, self._hash = position, hash_

    def _forked(self) -> Corrupt:
        return Corrupt(
            Code.FORKED,
            f"the authority's history is not the one that this machine has up to fact {self._position}",
            "was the authority restored from an old copy? Stop it, and compare: `ployzctl events tail --stream facts "
            f"--state-dir {STATE_DIR}` shows what this machine has, without ployzd",
        )
