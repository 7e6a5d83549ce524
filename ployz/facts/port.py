"""The fact log as a port: guarded records, and one totally ordered log of facts, changed in one transaction.

The shape is etcd's (a key, its value, the revision that wrote it, a lease), so that etcd is an adapter and no
translation. Adapters: memory, embedded (SQLite at the founding machine), remote (that one, over the overlay).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from ployz.events.types import Fact


@frozen
class Absent:
    """Compare: nothing stands under this key."""

    key: str


@frozen
class ValueIs:
    """Compare: exactly this value stands under this key."""

    key: str
    value: bytes


@frozen
class RevisionIs:
    """Compare: the record under this key was written by that revision. This is how a fencing token is checked."""

    key: str
    revision: int


Compare = Absent | ValueIs | RevisionIs


@frozen
class Put:
    key: str
    value: bytes
    lease: int = 0
    """0: stays until it is deleted. Else the record goes when that lease ends."""


@frozen
class Delete:
    key: str


@frozen
class Transaction:
    """All compares hold, and then all puts and facts happen at one revision; or nothing happens."""

    compares: tuple[Compare, ...]
    puts: tuple[Put | Delete, ...] = ()
    facts: tuple[Fact, ...] = ()


@frozen
class Applied:
    revision: int
    """Rises with every applied transaction; never reused."""
    position: int
    """Of the last fact in the log after this."""


@frozen
class Conflict:
    """Which compare did not hold first, and what stood there."""

    failed: Compare
    found: bytes | None


@frozen
class Held:
    """A record as it stands."""

    value: bytes
    revision: int


@frozen
class SequencedFact:
    """A fact in its place. `hash` is SHA-256 over the previous hash, the position, and the encoded fact."""

    position: int
    hash: bytes
    at_ms: int
    fact: Fact


class FactLog(Protocol):
    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        """`Unreachable` (OUTCOME_UNKNOWN) when no answer came: then read; never send it again.

        `Refused`: all compares hold, but a put names a lease that has ended (CONFLICT), or a key is written
        twice (USAGE).
        """
        ...

    async def read(self, key: str) -> Held | None: ...

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        """Every record whose key begins so, by key."""
        ...

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        """Facts with position > after, oldest first. Waits up to `wait_s` for the first one; empty when none came.

        An authority gives fewer than `limit` and waits less than `wait_s` where its own bounds say so.
        """
        ...

    async def grant(self, ttl_s: float) -> int:
        """A new lease, never 0. It ends `ttl_s` after its last renewal, by the authority's monotonic clock.

        `Refused` (USAGE) for an absurd length.
        """
        ...

    async def keep_alive(self, lease: int) -> bool:
        """False: that lease has ended."""
        ...

    async def revoke(self, lease: int) -> None:
        """Ends it, with every record under it. Ended already is done; 0 is none."""
        ...
