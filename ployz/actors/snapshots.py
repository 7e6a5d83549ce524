"""A node's start: from the last snapshot that is of exactly this log, and the records since; and making the next one.

A snapshot is always folded from the log, and never taken of what a running node holds: the log stays the only truth.
"""

from __future__ import annotations

import gc
import logging
from math import inf
from typing import Final, Protocol

from ployz.actors.compacting import GENTLE, Compactor
from ployz.errors import PloyzError
from ployz.events.feed import Feed
from ployz.events.replay import FAST, Pace, replay
from ployz.projections.folded import Folded
from ployz.projections.snapshot import Unusable

EVERY_RECORDS: Final = 10_000
"""A start reads at most about so many records beside the snapshot."""

_log = logging.getLogger("ployz.snapshots")


class Snapshots(Protocol):
    """The last snapshot of one log."""

    async def read(self) -> Folded | None:
        """None: there is none. `Unusable`; `Failed`: the disk."""
        ...

    async def write(self, folded: Folded) -> None:
        """Replaces it, whole and for good, or not at all. `Failed`: not at all."""
        ...


class SnapshotKeeper:
    def __init__(
        self, log: Feed, snapshots: Snapshots, compactor: Compactor, every_records: int = EVERY_RECORDS
    ) -> None:
        self._log = log
        self._snapshots = snapshots
        self._compactor = compactor
        self._every_records = every_records
        self._seq = 0
        """Of the last snapshot, or of the last try to make one."""

    async def fold(self, pace: Pace = FAST) -> Folded:
        """All that the log has. After a long replay it is kept at once: the next start shall not be as long.

        `Corrupt`: the log cannot be read, or a fact is missing in it.
        """
        was_collecting = gc.isenabled()
        gc.disable()  # nothing here is made of cycles, and looking for them takes a fifth of the time
        try:
            snapshot = await self._last()
            self._seq = snapshot.seq if snapshot is not None else 0
            folded = snapshot or await self._compactor.fold(pace)
            # Without a snapshot this is what came meanwhile.
            await replay(self._log, folded.apply, after=folded.seq, pace=pace)
        finally:
            if was_collecting:
                gc.enable()
        if folded.seq - self._seq >= self._every_records:
            await self._keep(folded)
        return folded

    async def run(self) -> None:
        """Until it is cancelled: a new snapshot after so many records. It folds a second time, aside of what runs."""
        while True:
            await self._log.wait(self._seq + self._every_records - 1, timeout_s=inf)
            await self.fold(GENTLE)

    async def _last(self) -> Folded | None:
        try:
            folded = await self._snapshots.read()
        except (Unusable, PloyzError) as error:
            _log.warning("the snapshot %s: it is made anew from the log", error)
            return None
        if folded is None or folded.seq == 0:
            return None
        there = await self._log.read(folded.seq - 1, 1)
        if not there or there[0].hash != folded.hash:
            _log.warning("the snapshot is of another log: it is made anew from this one")
            return None
        return folded

    async def _keep(self, folded: Folded) -> None:
        self._seq = folded.seq
        try:
            await self._snapshots.write(folded)
        except PloyzError as error:
            _log.warning("no snapshot was made at event %d: %s", folded.seq, error)
