"""The durable per-host log: one SQLite file, one connection, one commit for everybody who appends at the same time.

What a file, a transaction and a failed COMMIT are is in `connection`; what a row is, in `tables` and `chain`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from sqlite3 import Connection as Database
from typing import Final, Self

import anyio
from attrs import define

from ployz.clock import Clock
from ployz.events.chain import READ_ALONE, Walk, missing_row, prepare, record_of, seal, to_record, unfindable_row
from ployz.events.codec import CODEC, Codec, Encoded
from ployz.events.connection import Connection, End
from ployz.events.log import GENESIS_HASH, Entry, Record, Row
from ployz.events.mark import Mark
from ployz.events.tables import EVENT_LOG, insert, insert_new, select, unfindable
from ployz.ids import OperationId

TAIL_CHECKED = 1_000
"""Rows checked at every start: what a crash or a failing disk would have hurt. Replay checks the rest as it reads."""

GROUP_ENTRIES_MAX = 1_000
"""In one commit; who comes later waits for the next one."""


def _end_of(database: Database) -> Mark:
    row = database.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    seq, there = row or (0, GENESIS_HASH)
    return Mark(seq, seq, there)


def _has(database: Database, mark: Mark) -> bool:
    row = database.execute("SELECT hash FROM events WHERE seq = ?", (mark.position,)).fetchone()
    return mark.position == 0 or (row is not None and row[0] == mark.hash)


def _reached(written: tuple[list[Row], object]) -> Mark | None:
    rows, _ = written
    return Mark(rows[-1].seq, rows[-1].seq, rows[-1].hash) if rows else None


EVENTS_END: Final = End(_end_of, _has, READ_ALONE)


@define(eq=False)
class _Batch:
    """One caller's append, waiting for a commit."""

    entries: Sequence[Entry]
    encoded: Sequence[Encoded]
    records: Sequence[Record] | None = None
    error: Exception | None = None


class SqliteLog:
    """An `EventLog` on disk. Every read checks the chain: what is returned is what was once appended, in its place.

    Reads go through the one connection too: the file is locked against every other, even of this process. (That
    also keeps the WAL-reset bug of SQLite before 3.51.3 away, which needs two connections.)
    """

    def __init__(self, connection: Connection, clock: Clock, codec: Codec) -> None:
        self._connection = connection
        self._clock = clock
        self._codec = codec
        self._head = 0
        self._head_hash = GENESIS_HASH
        self._waiting: list[_Batch] = []
        self._turn = anyio.Lock()

    @classmethod
    async def open(cls, path: Path, clock: Clock, codec: Codec = CODEC) -> Self:
        """The log at `path`, made if it is not there, with the end of its chain checked.

        Errors as `Connection.open`, and `Corrupt` for a tail with a gap, a broken link, an event that this ployz cannot
        read or a step that is not found by its name.
        """
        log = cls(await Connection.open(path, EVENT_LOG, EVENTS_END), clock, codec)
        try:
            await log._connection.read(log._find_head)
        except BaseException:
            await log.aclose()
            raise
        return log

    @property
    def head(self) -> int:
        return self._head

    async def append(self, entries: Sequence[Entry]) -> Sequence[Record]:
        """As the port says. A commit that has begun is finished, also when its caller is cancelled meanwhile."""
        batch = _Batch(entries, prepare(entries, self._codec))
        self._waiting.append(batch)
        try:
            async with self._turn:
                if batch.records is None and batch.error is None:
                    await self._commit_group()
        finally:
            if batch in self._waiting:
                self._waiting.remove(batch)
        if batch.error is not None:
            # Each caller raises its own: one exception in several tasks would gather all their tracebacks.
            raise copy(batch.error) from batch.error
        assert batch.records is not None  # noqa: S101 - who got its turn was settled, by itself or by another
        return batch.records

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        return await self._connection.read(lambda database: self._read(database, after, limit))

    async def at(self, seqs: Sequence[int]) -> Sequence[Record]:
        return await self._connection.read(lambda database: self._at(database, seqs))

    async def rows(self, after: int, limit: int) -> Sequence[Row]:
        return await self._connection.read(
            lambda database: select(database, "WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
        )

    async def unfindable(self, after: int, limit: int) -> Sequence[int]:
        return await self._connection.read(lambda database: unfindable(database, after, after + limit))

    async def find(self, operation_id: OperationId, step: str) -> Record | None:
        return await self._connection.read(lambda database: self._find(database, operation_id, step))

    async def of_operation(self, operation_id: OperationId) -> Sequence[Record]:
        def work(database: Database) -> list[Record]:
            rows = select(database, "WHERE operation_id = ? ORDER BY seq", str(operation_id))
            return [to_record(row, self._codec) for row in rows]

        return await self._connection.read(work)

    async def aclose(self) -> None:
        await self._connection.aclose()

    # ---------------------------------------------------------------- in the event loop

    async def _commit_group(self) -> None:
        group: list[_Batch] = []
        size = 0
        while self._waiting and (not group or size + len(self._waiting[0].entries) <= GROUP_ENTRIES_MAX):
            group.append(self._waiting.pop(0))
            size += len(group[-1].entries)
        # The others in the group do not share our cancellation.
        with anyio.CancelScope(shield=True):
            try:
                rows, answers = await self._connection.write(partial(self._write, group), _reached)
            except Exception as error:  # noqa: BLE001 - whatever it is, everybody in the group gets it
                for batch in group:
                    batch.error = error
                return
        if rows:
            self._head, self._head_hash = rows[-1].seq, rows[-1].hash
        for batch, records in zip(group, answers, strict=True):
            batch.records = records

    # ---------------------------------------------------------------- in the connection's thread

    def _write(self, group: Sequence[_Batch], database: Database) -> tuple[list[Row], list[list[Record]]]:
        at_ms = self._clock.wall_ms()
        # Nearly always every step is new, which the table itself knows: looking for each first costs as much again.
        rows, answers = self._sealed(group, at_ms, lambda *_: None)
        if not insert_new(database, rows):
            rows, answers = self._sealed(group, at_ms, partial(self._find, database))
            insert(database, rows)
        return rows, answers

    def _sealed(
        self, group: Sequence[_Batch], at_ms: int, find: Callable[[OperationId, str], Record | None]
    ) -> tuple[list[Row], list[list[Record]]]:
        """The rows to be added, and each batch's records: of a step that `find` knows, the one that it found."""
        rows: list[Row] = []
        fresh: dict[tuple[OperationId, str], Record] = {}
        previous_hash = self._head_hash

        def record(entry: Entry, encoded: Encoded) -> Record:
            nonlocal previous_hash
            step = None if entry.operation_id is None or entry.step is None else (entry.operation_id, entry.step)
            if step is not None and (known := fresh.get(step) or find(*step)) is not None:
                return known
            seq = self._head + len(rows) + 1
            row = seal(entry, encoded, seq=seq, at_ms=at_ms, previous_hash=previous_hash)
            previous_hash = row.hash
            rows.append(row)
            made = record_of(row, encoded.event, entry.operation_id)
            if step is not None:
                fresh[step] = made
            return made

        answers = [[record(*pair) for pair in zip(batch.entries, batch.encoded, strict=True)] for batch in group]
        return rows, answers

    def _find(self, database: Database, operation_id: OperationId, step: str) -> Record | None:
        rows = select(database, "WHERE operation_id = ? AND step = ?", str(operation_id), step)
        return to_record(rows[0], self._codec) if rows else None

    def _read(self, database: Database, after: int, limit: int) -> list[Record]:
        # One more in front: the hash that the first row must follow.
        rows = select(database, "WHERE seq >= ? ORDER BY seq LIMIT ?", after, limit + 1)
        hash_there = GENESIS_HASH if after == 0 else None
        if rows and rows[0].seq == after:
            hash_there = rows.pop(0).hash
        walk = Walk(after, hash_there)
        records = []
        for row in rows[:limit]:
            if (finding := walk.step(row)) is not None:
                raise finding.error()
            records.append(to_record(row, self._codec))
        return records

    def _at(self, database: Database, seqs: Sequence[int]) -> list[Record]:
        records = []
        for seq in sorted(seqs):
            rows = select(database, "WHERE seq = ?", seq)
            finding = Walk(seq - 1, None).step(rows[0]) if rows else missing_row(seq)
            if finding is not None:
                raise finding.error()
            records.append(to_record(rows[0], self._codec))
        return records

    def _find_head(self, database: Database) -> None:
        for row in select(database, "ORDER BY seq DESC LIMIT 1"):
            tail = max(0, row.seq - TAIL_CHECKED)
            self._read(database, tail, TAIL_CHECKED)
            for seq in unfindable(database, tail, row.seq):
                raise unfindable_row(seq).error()
            self._head, self._head_hash = row.seq, row.hash
