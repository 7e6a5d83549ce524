"""The per-host log as a port: what is appended, what is read back, and what an append promises.

Adapters: sqlite_log (durable), memory_log (tests, simulation). One conformance suite holds both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

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


class EventLog(Protocol):
    @property
    def head(self) -> int:
        """The last seq; 0: empty."""
        ...

    async def append(self, entries: Sequence[Entry]) -> Sequence[Record]:
        """All or nothing, durable when it returns, one record an entry, in order.

        An entry whose (operation_id, step) is there already yields the record that is there. A failed append has
        an unknown outcome: the log then refuses everything with LOG_FAILED until it is opened again and read.
        """
        ...

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Records with seq > after, oldest first, at most `limit`."""
        ...

    async def find(self, operation_id: OperationId, step: str) -> Record | None: ...

    async def of_operation(self, operation_id: OperationId) -> Sequence[Record]: ...

    async def aclose(self) -> None: ...
