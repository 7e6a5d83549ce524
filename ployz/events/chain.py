"""The hash chain: what makes a stored log prove its own order and completeness.

Pure: rows in, findings out. Where rows come from (a live log, an exported file) is not known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final

import attrs
from attrs import evolve, frozen

from ployz.config import STATE_DIR
from ployz.errors import Code, Corrupt, PloyzError
from ployz.events.codec import Codec, Encoded
from ployz.events.log import GENESIS_HASH, Entry, Record, Row
from ployz.events.types import Event
from ployz.ids import InvalidName, OperationId
from ployz.strict import pack

_sealed_columns = attrgetter(*(column.name for column in attrs.fields(Row) if column.name != "hash"))

READ_ALONE: Final = (
    "Keep log.db: it also holds what this machine promised. Without ployzd "
    f"`ployzctl events verify --state-dir {STATE_DIR}` lists everything that is wrong, "
    f"`ployzctl events export FILE --state-dir {STATE_DIR}` saves what is there."
)
"""What to do about a log that stops ployzd: nothing of it may need ployzd."""

_SWAP_DISTANCE = 64
"""How far from its place a moved row is looked for, to say "swapped" instead of "changed"."""


@frozen
class Finding:
    """One thing that is wrong with a log, at the first row that shows it."""

    seq: int
    code: Code
    """LOG_CORRUPT: the chain. UNKNOWN_EVENT, MALFORMED_EVENT: this row's event."""
    text: str

    def error(self) -> Corrupt:
        return Corrupt(
            self.code,
            f"event {self.seq}: {self.text}",
            READ_ALONE,
        )


def sealed(row: Row) -> bytes:
    """What the hash of a row must be: SHA-256 over the previous hash and every other column.

    They are packed, so that no two different rows give the same bytes.
    """
    return _hash(_sealed_columns(row))


def _hash(columns: tuple[object, ...]) -> bytes:
    return hashlib.sha256(pack(columns)).digest()


def prepare(entries: Sequence[Entry], codec: Codec) -> list[Encoded]:
    """Each entry's event in its stored form. What is wrong with one is raised here, before anything is written."""
    for entry in entries:
        if entry.step is not None and entry.operation_id is None:
            raise ValueError(f"step {entry.step!r} names no operation: it would not be unique")
    return [codec.encode(entry.event) for entry in entries]


def seal(entry: Entry, encoded: Encoded, *, seq: int, at_ms: int, previous_hash: bytes) -> Row:
    """The row of an entry at its place."""
    columns = (
        seq,
        at_ms,
        entry.stream,
        encoded.name,
        encoded.version,
        encoded.payload,
        None if entry.operation_id is None else str(entry.operation_id),
        entry.step,
        previous_hash,
    )
    return Row(*columns, _hash(columns))


def to_record(row: Row, codec: Codec) -> Record:
    """`Corrupt`: its event cannot be read."""
    return record_of(row, codec.decode(row.name, row.version, row.payload), row.operation_id)


def record_of(row: Row, event: Event, operation: str | None) -> Record:
    """The record of a row whose event is at hand, and its operation: an `OperationId` is not read again."""
    try:
        operation_id = None if operation is None else OperationId(operation)
    except InvalidName as error:
        raise Corrupt(Code.MALFORMED_EVENT, str(error), "restore the log from a copy") from error
    return Record(row.seq, row.at_ms, row.stream, event, operation_id, row.step, row.previous_hash, row.hash)


class Walk:
    """Checks a log's rows in order, each against those before it."""

    def __init__(self, after: int = 0, hash_there: bytes | None = GENESIS_HASH) -> None:
        """To start behind row `after`, whose hash is `hash_there`; None: not known, the first row is believed."""
        self._seq = after
        self._hash = hash_there
        self._moved: dict[int, bytes] = {}
        """By the place where it belongs: the hash of a row that was met elsewhere."""

    def step(self, row: Row) -> Finding | None:
        expected, before = self._seq + 1, self._hash
        self._seq, self._hash = row.seq, row.hash
        if row.seq != expected:
            # What the missing rows were is gone with them: the chain is taken up again here.
            before = None
        wrong = [text for text in (_gap(expected, row.seq), self._break(row, before)) if text]
        return Finding(row.seq, Code.LOG_CORRUPT, "; ".join(wrong)) if wrong else None

    def _break(self, row: Row, before: bytes | None) -> str | None:
        follows = before is None or before == row.previous_hash
        if row.hash == sealed(row):
            return None if follows else f"it does not follow event {row.seq - 1}: the chain is broken between them"
        home = None if before == row.previous_hash else _home(row)
        if home is None:
            return "it was changed after it was written: its hash does not match"
        # The next row follows the one that belongs here, which may have been met already, at the other place.
        self._hash = self._moved.pop(row.seq, None)
        if home > row.seq:
            self._moved[home] = row.hash
        return f"it is really event {home}: rows were swapped"


def missing_row(seq: int) -> Finding:
    return Finding(seq, Code.LOG_CORRUPT, "it is missing")


def unfindable_row(seq: int) -> Finding:
    return Finding(seq, Code.LOG_CORRUPT, "its step is not found by its name: the index of the file is damaged")


def _gap(expected: int, seq: int) -> str | None:
    if seq == expected:
        return None
    if seq < expected:
        return f"it stands behind event {expected - 1}"
    return f"{expected} is missing" if seq == expected + 1 else f"{expected} to {seq - 1} are missing"


def _home(row: Row) -> int | None:
    near = range(max(1, row.seq - _SWAP_DISTANCE), row.seq + _SWAP_DISTANCE + 1)
    return next((seq for seq in near if sealed(evolve(row, seq=seq)) == row.hash), None)


def verify(rows: Iterable[Row], codec: Codec) -> Iterator[Finding]:
    """Everything that is wrong with a whole log, oldest first. Nothing: it is whole."""
    walk = Walk()
    for row in rows:
        if (broken := walk.step(row)) is not None:
            yield broken
        try:
            to_record(row, codec)
        except PloyzError as error:
            yield Finding(row.seq, error.code, error.problem.text)
