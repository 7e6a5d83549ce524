"""The per-host log as a port: what is appended, what is read back, and what an append promises.

Adapters: sqlite_log (durable), memory_log (tests, simulation). One conformance suite holds both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import field, frozen

from ployz.events.types import Event
from ployz.ids import OperationId

GENESIS_HASH = b"\0" * 32


@frozen
class Entry:
    """What somebody wants to append."""

    stream: str
    """What it is about: `facts`, `service/production/db`, `volume/production/pgdata`, `operation/op-…`, `node`."""
    event: Event
    operation_id: OperationId | None = None
    step: str | None = None
    """With `operation_id`: unique in this log. Appending the same pair again returns the first record."""


@frozen
class Record:
    """What the log holds: an entry with its place, time and link in the chain."""

    seq: int
    """Gapless, from 1."""
    at_ms: int
    stream: str
    event: Event
    operation_id: OperationId | None
    step: str | None
    previous_hash: bytes
    hash: bytes


@frozen
class Row:
    """A record as it is stored: every column plain, nothing checked yet."""

    seq: int
    at_ms: int
    stream: str
    name: str
    version: int
    payload: bytes = field(repr=lambda payload: f"<{len(payload)} bytes>")
    operation_id: str | None
    step: str | None
    previous_hash: bytes
    hash: bytes


class EventLog(Protocol):
    @property
    def head(self) -> int:
        """The last seq; 0: empty."""
        ...

    async def append(self, entries: Sequence[Entry]) -> Sequence[Record]:
        """All or nothing, durable when it returns, one record an entry, in order.

        An entry whose (operation_id, step) is there already yields the record that is there. A failed append has
        an unknown outcome: the log then refuses everything with LOG_FAILED until it is opened again and read.
        The append that failed raises `Failed` (LOG_FAILED), or `Unreachable` (OUTCOME_UNKNOWN) when it was the commit.
        `Failed` (STATE_FULL): nothing was written, since there is no room; with room the log takes more.
        """
        ...

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Records with seq > after, oldest first, at most `limit`.

        `Corrupt`: what is stored there is not the chain that was written, or an event that this ployz cannot read.
        """
        ...

    async def at(self, seqs: Sequence[int]) -> Sequence[Record]:
        """Those records, in the order of their seqs, which they name once each.

        `Corrupt`: one is not there, or is not what was written there. Whether it follows those before is not looked at.
        """
        ...

    async def rows(self, after: int, limit: int) -> Sequence[Row]:
        """As `read`, but as they are stored, checked by nobody: for verifying and for exporting."""
        ...

    async def unfindable(self, after: int, limit: int) -> Sequence[int]:
        """Of the rows with seq > after, at most `limit`: those that `find` does not find by their step."""
        ...

    async def find(self, operation_id: OperationId, step: str) -> Record | None: ...

    async def of_operation(self, operation_id: OperationId) -> Sequence[Record]: ...

    async def aclose(self) -> None: ...
