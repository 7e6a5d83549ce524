"""The per-host log in memory: the same rows, chain and refusals as on disk, for tests and simulation.

A crash and a failing disk are things that a test does to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from anyio.lowlevel import checkpoint

from ployz.clock import Clock
from ployz.errors import Code, Failed, Unreachable
from ployz.events.chain import missing_row, prepare, record_of, seal, to_record
from ployz.events.codec import CODEC, Codec
from ployz.events.files import state_full
from ployz.events.log import GENESIS_HASH, Entry, Record, Row
from ployz.ids import OperationId


class MemoryLog:
    """An `EventLog`. What `append` returned survives `crash`."""

    def __init__(self, clock: Clock, rows: Sequence[Row] = (), codec: Codec = CODEC) -> None:
        self._clock = clock
        self._codec = codec
        self._rows = list(rows)
        self._records = [to_record(row, codec) for row in rows]
        self._by_step = {_step(record): record for record in self._records}
        self._failed: str | None = None
        self._next_append_fails: bool | None = None
        self._full = False

    @property
    def head(self) -> int:
        return len(self._rows)

    async def append(self, entries: Sequence[Entry]) -> Sequence[Record]:
        await checkpoint()
        self._refuse_if_failed()
        prepared = prepare(entries, self._codec)
        if self._full:
            raise state_full(Path("log.db"))
        written = self._next_append_fails
        if written is False:
            raise self._fail_commit()
        records = []
        for entry, encoded in zip(entries, prepared, strict=True):
            known = self._by_step.get((entry.operation_id, entry.step)) if entry.step is not None else None
            if known is None:
                previous_hash = self._rows[-1].hash if self._rows else GENESIS_HASH
                row = seal(entry, encoded, seq=self.head + 1, at_ms=self._clock.wall_ms(), previous_hash=previous_hash)
                known = record_of(row, encoded.event, entry.operation_id)
                self._rows.append(row)
                self._records.append(known)
                self._by_step[_step(known)] = known
            records.append(known)
        if written is True:
            raise self._fail_commit()
        return records

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        await checkpoint()
        self._refuse_if_failed()
        return self._records[after : after + limit]

    async def at(self, seqs: Sequence[int]) -> Sequence[Record]:
        await checkpoint()
        self._refuse_if_failed()
        if missing := [seq for seq in seqs if not 0 < seq <= self.head]:
            raise missing_row(missing[0]).error()
        return [self._records[seq - 1] for seq in sorted(seqs)]

    async def rows(self, after: int, limit: int) -> Sequence[Row]:
        await checkpoint()
        self._refuse_if_failed()
        return self._rows[after : after + limit]

    async def unfindable(self, after: int, limit: int) -> Sequence[int]:
        steps = [(each.seq, each.operation_id, each.step) for each in await self.read(after, limit)]
        return [seq for seq, of, step in steps if of and step and self._by_step[(of, step)].seq != seq]

    async def find(self, operation_id: OperationId, step: str) -> Record | None:
        await checkpoint()
        self._refuse_if_failed()
        return self._by_step.get((operation_id, step))

    async def of_operation(self, operation_id: OperationId) -> Sequence[Record]:
        await checkpoint()
        self._refuse_if_failed()
        return [record for record in self._records if record.operation_id == operation_id]

    async def aclose(self) -> None:
        self._failed = "it was closed"
        await checkpoint()

    def fail_next_append(self, *, written: bool) -> None:
        """Its COMMIT raises. Whether the entries reached the disk shows after `crash`, and nobody is told."""
        self._next_append_fails = written

    def fill_up(self, *, full: bool) -> None:
        """Whether there is no room from now on: what is appended is refused, and nothing else."""
        self._full = full

    def crash(self) -> Self:
        """The power goes: this log refuses everything from now on, and the one returned is what the disk has."""
        self._failed = "the power went"
        return type(self)(self._clock, self._rows, self._codec)

    def _fail_commit(self) -> Unreachable:
        self._failed = "a commit failed"
        return Unreachable(Code.OUTCOME_UNKNOWN, "a commit failed; it may or may not be on the disk", "restart ployzd")

    def _refuse_if_failed(self) -> None:
        if self._failed is not None:
            raise Failed(Code.LOG_FAILED, f"the log takes nothing any more: {self._failed}", "restart ployzd")


def _step(record: Record) -> tuple[OperationId | None, str | None]:
    return record.operation_id, record.step
