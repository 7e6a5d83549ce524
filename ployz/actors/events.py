"""The events actor: this machine's own log for its operators. Nobody else opens the file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final

from ployz.actors.core import Actor, handles
from ployz.actors.messages.events import (
    EventRow,
    EventsPage,
    Exported,
    ExportEvents,
    Finding,
    ReadEvents,
    Verified,
    VerifyEvents,
)
from ployz.actors.parts import Parts
from ployz.errors import PloyzError
from ployz.events.chain import Walk, to_record, unfindable_row
from ployz.events.codec import CODEC
from ployz.events.export import ExportWriter
from ployz.events.log import Row
from ployz.ids import OperationId
from ployz.wire.message import Operator

PAGE_ROWS: Final = 500
LIMIT_MAX: Final = 1_000
PAGE_BYTES_MAX: Final = 8 << 20
WAIT_MAX_S: Final = 30.0
FINDINGS_MAX: Final = 1_000
SCAN_MAX: Final = 1_000_000
"""Rows that one question looks through for those that match."""


class EventsActor(Actor):
    """`events`."""

    def __init__(self, parts: Parts) -> None:
        self._log = parts.log

    @handles(ReadEvents, concurrent=True)
    async def read(self, message: ReadEvents) -> EventsPage:
        limit = min(message.limit, LIMIT_MAX)
        if message.after < 0:
            return await self._newest(message, limit)
        head = self._log.head
        found = await self._matching(message, message.after, limit)
        if not found and await self._log.wait(head, timeout_s=min(message.wait_s, WAIT_MAX_S)):
            found = await self._matching(message, message.after, limit)
        return EventsPage(tuple(map(_shown, found)), self._log.head)

    async def _newest(self, message: ReadEvents, limit: int) -> EventsPage:
        """Backwards, a page at a time, until there are enough."""
        found: list[Row] = []
        end = self._log.head
        while end > 0 and len(found) < limit:
            start = max(0, end - PAGE_ROWS)
            rows = [row for row in await self._log.rows(start, end - start) if _matches(row, message)]
            found = [*rows, *found]
            end = start
        return EventsPage(tuple(map(_shown, reversed(_fitting(found[-limit:][::-1])))), self._log.head)

    async def _matching(self, message: ReadEvents, after: int, limit: int) -> list[Row]:
        found: list[Row] = []
        scanned_to = after + SCAN_MAX
        while after < scanned_to and len(found) < limit and (rows := await self._log.rows(after, PAGE_ROWS)):
            found += [row for row in rows if _matches(row, message)]
            after = rows[-1].seq
        return _fitting(found[:limit])

    @handles(VerifyEvents, concurrent=True)
    async def verify(self, message: VerifyEvents) -> Verified:  # noqa: ARG002 - it has nothing to say but "now"
        walk = Walk()
        findings: list[Finding] = []
        after = 0
        while len(findings) < FINDINGS_MAX and (rows := await self._log.rows(after, PAGE_ROWS)):
            for row in rows:
                findings += _findings(walk, row)
            for seq in await self._log.unfindable(after, rows[-1].seq - after):
                findings.append(Finding(seq, unfindable_row(seq).text))
            after = rows[-1].seq
        return Verified(self._log.head, tuple(findings[:FINDINGS_MAX]))

    @handles(ExportEvents, concurrent=True)
    async def export(self, message: ExportEvents) -> Exported:
        written = 0
        owner = self.sender.uid if isinstance(self.sender, Operator) else None
        with ExportWriter(Path(message.path), owner) as writer:
            while rows := await self._log.rows(written, PAGE_ROWS):
                writer.write(rows)
                written += len(rows)
        return Exported(message.path, written)


def _fitting(rows: list[Row]) -> list[Row]:
    """The first of them that go into one frame together, one at least."""
    sizes = accumulate(len(row.payload) for row in rows)
    return [row for row, size_bytes in zip(rows, sizes, strict=True) if row is rows[0] or size_bytes <= PAGE_BYTES_MAX]


def _findings(walk: Walk, row: Row) -> Iterator[Finding]:
    if (broken := walk.step(row)) is not None:
        yield Finding(broken.seq, broken.text)
    try:
        to_record(row, CODEC)
    except PloyzError as error:
        yield Finding(row.seq, error.problem.text)


def _matches(row: Row, message: ReadEvents) -> bool:
    if message.stream is not None and row.stream != message.stream:
        return False
    return message.operation_id is None or row.operation_id == message.operation_id


def _shown(row: Row) -> EventRow:
    return EventRow(
        seq=row.seq,
        at_ms=row.at_ms,
        stream=row.stream,
        name=row.name,
        version=row.version,
        payload=row.payload,
        operation_id=OperationId(row.operation_id) if row.operation_id else None,
        step=row.step,
        hash=row.hash,
    )
