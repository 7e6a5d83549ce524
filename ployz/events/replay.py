"""History again, up to a place or a time: the records of a log, given in order to whoever folds them.

What they are folded into is not known here; the projections of the facts are one such thing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import frozen

from ployz.errors import Code, Usage
from ployz.events.log import EventLog, Record
from ployz.events.types import Fact, FactMirrored

PAGE_RECORDS: Final = 1_000


@frozen
class AtSeq:
    """Everything up to this record, and it."""

    seq: int


@frozen
class AtTime:
    """Everything before the first record that is later than this wall time."""

    at_ms: int


Until = AtSeq | AtTime


def parse_until(text: str) -> Until:
    """`17` is a seq; `2026-03-01T12:00:00` is a time, in UTC unless it says `+02:00`. `Usage`: it is neither."""
    if text.isascii() and text.isdigit():
        return AtSeq(int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Usage(
            Code.USAGE, f"{text!r} is neither a seq nor a time", "write for example 17 or 2026-03-01T12:00:00Z"
        ) from error
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return AtTime((time - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1))


def up_to(records: Iterable[Record], until: Until | None) -> Iterator[Record]:
    """The beginning of `records`; all of them if `until` is None."""
    for record in records:
        if _past(record, until):
            return
        yield record


@frozen
class Pace:
    page_records: int
    pause: Callable[[], Awaitable[None]] | None = None
    """After each full page. Given from outside: who reads a copy of a log has no event loop."""


FAST: Final = Pace(PAGE_RECORDS)


async def replay(
    log: EventLog,
    apply: Callable[[Record], None],
    until: Until | None = None,
    *,
    after: int = 0,
    pace: Pace = FAST,
) -> int:
    """Gives every record past `after` and up to `until` to `apply`, and returns the seq of the last one.

    Ends at the head that the log has when it gets there. `Corrupt`: the log cannot be read that far.
    """
    seq = after
    while page := await log.read(seq, pace.page_records):
        for record in page:
            if _past(record, until):
                return seq
            apply(record)
            seq = record.seq
        if pace.pause is not None and len(page) == pace.page_records:
            await pace.pause()
    return seq


def facts_of(records: Iterable[Record]) -> Iterator[tuple[int, int, Fact]]:
    """The facts among them as (position in the fact log, wall time in ms at which it was mirrored here, fact)."""
    for record in records:
        if isinstance(record.event, FactMirrored):
            yield record.event.position, record.at_ms, record.event.fact


def _past(record: Record, until: Until | None) -> bool:
    match until:
        case None:
            return False
        case AtSeq(seq):
            return record.seq > seq
        case AtTime(at_ms):
            return record.at_ms > at_ms
