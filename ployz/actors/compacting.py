"""Keeping a log's compaction, and folding by it: a start that has no snapshot reads what still counts, and not all.

A snapshot is of no use to a ployz that folds otherwise; a compaction is, as it only says which records to read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final, Protocol

import anyio

from ployz.errors import Corrupt, PloyzError
from ployz.events.feed import Feed
from ployz.events.log import Record
from ployz.events.replay import FAST, PAGE_RECORDS, AtSeq, Pace, replay
from ployz.projections import operations
from ployz.projections.compaction import Compaction
from ployz.projections.folded import Folded
from ployz.projections.snapshot import Unusable

GENTLE: Final = Pace(page_records=100, pause=partial(anyio.sleep, 0.02))
"""Beside what runs, which may be a cut-over: who appends to the log waits until the page at hand is decoded."""

_log = logging.getLogger("ployz.compaction")


class Compactions(Protocol):
    """Where the compaction of one log is kept, for a ployz that notes as the one that wrote it."""

    async def read(self) -> Compaction | None:
        """None: there is none. `Unusable`; `Failed`, `Corrupt`: the disk."""
        ...

    async def piece(self, place: int) -> bytes:
        """From 0. `Corrupt`: it is not there. `Failed`, `Corrupt`: the disk."""
        ...

    async def write(self, compaction: Compaction) -> None:
        """Replaces it, and adds its next piece, for good, or leaves all as it was. `Failed`: so."""
        ...


class Compactor:
    def __init__(self, log: Feed, compactions: Compactions, every_records: int) -> None:
        self._log = log
        self._compactions = compactions
        self._every_records = every_records
        self._alone = anyio.Lock()

    async def fold(self, pace: Pace = FAST) -> Folded:
        """All that the log has: by its compaction, and what came since. Where that was much it is compacted too.

        `Corrupt`: the log cannot be read, or a fact is missing in it.
        """
        async with self._alone:
            compaction, folded = await self._begin()

            def take(record: Record) -> None:
                folded.apply(record)
                compaction.note(record)

            await self._note(compaction, take, pace)
            return folded

    async def run(self) -> None:
        """Until it is cancelled: compacts after so many records."""
        seq = 0
        while True:
            await self._log.wait(seq + self._every_records - 1, timeout_s=inf)
            seq = await self.compact()

    async def compact(self) -> int:
        """What the log has past its compaction, where that is much. Returns the seq up to which it is done, or the head
        of the log after a try that failed: that is only said, and it is tried again when as much has come.
        """
        async with self._alone:
            head = self._log.head
            try:
                compaction = await self._usable()
                return await self._note(compaction, compaction.note, GENTLE)
            except (PloyzError, KeyError) as error:  # KeyError: of something that the log does not have
                _log.warning("the log was not compacted: %s", error)
                return head

    async def _begin(self) -> tuple[Compaction, Folded]:
        try:
            compaction = await self._last()
            if compaction.seq == 0:
                return compaction, Folded()
            needs = compaction.needs(operations.WHOLE_MAX)
            for place in range(compaction.pieces):
                needs.take(await self._compactions.piece(place))
            folded, seqs = needs.begin()
            for start in range(0, len(seqs), PAGE_RECORDS):
                for record in await self._log.at(seqs[start : start + PAGE_RECORDS]):
                    folded.take_up(record)
            compaction.end(folded)
        except (Unusable, PloyzError, KeyError) as error:  # KeyError: something counts that was not noted
            _log.warning("the compaction cannot be used (%s): all of the log is read instead", error)
            return Compaction(), Folded()
        return compaction, folded

    async def _note(self, compaction: Compaction, take: Callable[[Record], None], pace: Pace) -> int:
        """Gives `take`, which notes it too, what the log has past the compaction; and keeps that after so many records:
        its pieces stay small, and a long read that was interrupted is gone on with. Returns the seq of the last time.
        """
        last, kept = compaction.seq, True
        while await replay(self._log, take, AtSeq(last + self._every_records), after=last, pace=pace) > last:
            if compaction.seq - last < self._every_records:
                break
            last = compaction.seq
            kept = kept and await self._keep(compaction)
        return last

    async def _keep(self, compaction: Compaction) -> bool:
        """False: it was not, and what was cut for it is lost with it."""
        try:
            await self._compactions.write(compaction)
        except PloyzError as error:
            _log.warning("the compaction of the log was not kept at event %d: %s", compaction.seq, error)
            return False
        return True

    async def _usable(self) -> Compaction:
        """`Failed`, `Refused`: it may be there and good, and cannot be read now."""
        try:
            return await self._last()
        except (Unusable, Corrupt) as error:
            _log.warning("the compaction cannot be used (%s): it is made anew", error)
            return Compaction()

    async def _last(self) -> Compaction:
        compaction = await self._compactions.read()
        if compaction is None or compaction.seq == 0:
            return Compaction()
        there = await self._log.read(compaction.seq - 1, 1)
        if not there or there[0].hash != compaction.hash:
            raise Unusable("is of another log")
        return compaction
