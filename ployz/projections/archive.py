"""Operations of long ago, in 24 bytes each: how each ended, and where in the fact log it began and ended.

A history of years has hundreds of thousands of them, and what one has left behind somewhere may be found at any time.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from attrs import define, field, frozen

from ployz.ids import OperationId

_KEY_BYTES: Final = 12
"""The number of an id has 95 bits; the last one says whether it was committed."""
_POSITION_BYTES: Final = 6
ENTRY_BYTES: Final = _KEY_BYTES + 2 * _POSITION_BYTES


@frozen
class Archived:
    committed: bool
    """Else it was aborted."""
    started_position: int
    position: int
    """Of the fact that decided it."""


def entry(operation_id: OperationId, archived: Archived) -> bytes | None:
    """Its 24 bytes; they sort as ids do. None: no `OperationId.make` has made the id."""
    number = operation_id.number
    if number is None:
        return None
    key = number << 1 | archived.committed
    positions = (archived.started_position, archived.position)
    return b"".join((key.to_bytes(_KEY_BYTES), *(each.to_bytes(_POSITION_BYTES) for each in positions)))


@define
class Archive:
    _entries: bytearray = field(factory=bytearray)
    """In order of their ids, which is nearly that in which they come: they begin with the time."""
    _others: dict[OperationId, Archived] = field(factory=dict)
    """Whose ids no `OperationId.make` has made."""

    def get(self, operation_id: OperationId) -> Archived | None:
        number = operation_id.number
        if number is None:
            return self._others.get(operation_id)
        index = self._index(number)
        start = index * ENTRY_BYTES
        found = self._entries[start : start + ENTRY_BYTES]
        key, places = found[:_KEY_BYTES], found[_KEY_BYTES:]
        if not found or int.from_bytes(key) >> 1 != number:
            return None
        return Archived(
            bool(key[-1] & 1),
            int.from_bytes(places[:_POSITION_BYTES]),
            int.from_bytes(places[_POSITION_BYTES:]),
        )

    def add(self, operation_id: OperationId, archived: Archived) -> None:
        made = entry(operation_id, archived)
        if made is None:
            self._others[operation_id] = archived
        else:
            self.add_entry(made)

    def add_entry(self, made: bytes) -> None:
        """What `entry` made of one."""
        start = self._index(int.from_bytes(made[:_KEY_BYTES]) >> 1) * ENTRY_BYTES
        self._entries[start:start] = made

    def _index(self, number: int) -> int:
        """Of the first entry that is not before it."""
        entries = range(len(self._entries) // ENTRY_BYTES)
        if entries and self._number(entries[-1]) < number:
            return len(entries)
        return bisect_left(entries, number, key=self._number)

    def _number(self, index: int) -> int:
        start = index * ENTRY_BYTES
        return int.from_bytes(self._entries[start : start + _KEY_BYTES]) >> 1
