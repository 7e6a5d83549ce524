"""Single facts of long ago, found again in the local log that mirrors them: positions there stand in order."""

from __future__ import annotations

from typing import Final

from ployz.events.log import EventLog, Record
from ployz.events.types import FactMirrored

_PAGE: Final = 100


async def mirrored_fact(log: EventLog, position: int) -> Record | None:
    """The record of that fact. None: it is not in this log. Reads a few rows for each halving of the log."""
    first, last = position, log.head  # a fact never stands before its own position
    while first <= last:
        middle = (first + last) // 2
        record = await _fact_from(log, middle, last)
        if record is None or _position(record) > position:
            last = middle - 1
        elif _position(record) < position:
            first = record.seq + 1
        else:
            return record
    return None


async def _fact_from(log: EventLog, seq: int, last: int) -> Record | None:
    """The first fact in `seq` to `last`."""
    after = seq - 1
    while after < last:
        page = await log.read(after, min(_PAGE, last - after))
        for record in page:
            if isinstance(record.event, FactMirrored):
                return record
        after += _PAGE
    return None


def _position(record: Record) -> int:
    assert isinstance(record.event, FactMirrored)  # noqa: S101 - by `_fact_from`
    return record.event.position
