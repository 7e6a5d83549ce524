"""The tables of the embedded fact log and every statement on them: synchronous, inside the caller's transaction.

Rows in and values out. What a transaction may do is decided in `rules`, when leases end in `leases`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from sqlite3 import Connection as Database
from typing import TYPE_CHECKING, Final

from ployz.errors import Code, Corrupt
from ployz.events.codec import CODEC, Encoded
from ployz.events.files import FileKind
from ployz.events.log import GENESIS_HASH
from ployz.events.mark import Mark
from ployz.events.types import Fact
from ployz.facts.chain import stored_hash
from ployz.facts.port import Held, Put, SequencedFact
from ployz.facts.rules import Change, Head
from ployz.facts.sequencer import seal

if TYPE_CHECKING:
    from sqlite_utils import Database as Tables


def _create(database: Tables) -> None:
    records = database.table("records", strict=True)
    records.create(
        {"key": str, "value": bytes, "revision": int, "lease": int},
        pk="key",
        not_null={"value", "revision", "lease"},
    )
    records.create_index(["lease"])
    database.table("facts", strict=True).create(
        {"position": int, "at_ms": int, "name": str, "version": int, "payload": bytes, "hash": bytes},
        pk="position",
        not_null={"at_ms", "name", "version", "payload", "hash"},
    )
    database.table("leases", strict=True).create({"lease": int, "ttl_s": float}, pk="lease", not_null={"ttl_s"})
    # One row: numbers that are never reused, also when the records and leases that had them are gone.
    database.table("counters", strict=True).create(
        {"id": int, "revision": int, "last_lease": int}, pk="id", not_null={"revision", "last_lease"}
    )
    database.execute("INSERT INTO counters (id, revision, last_lease) VALUES (1, 0, 0)")
    seal.make(database.conn)


FACT_LOG: Final = FileKind(what="fact log", application_id=0x504C5A46, version=1, create=_create)
"""`PLZF`."""

RESTORE: Final = "restore facts.db from a copy; every machine's own log holds a mirror of the facts"
"""What to do about one that is damaged."""

_INT_MAX: Final = 2**63 - 1
"""SQLite's; a number in a message can be twice as large."""


# ---------------------------------------------------------------- the head and the chain


def head(database: Database) -> Head:
    revision = database.execute("SELECT revision FROM counters WHERE id = 1").fetchone()[0]
    last = database.execute("SELECT position, hash FROM facts ORDER BY position DESC LIMIT 1").fetchone()
    return Head(revision, *last) if last else Head(revision)


def mark(database: Database) -> Mark:
    """Its number rises with each change: of the records, of the leases that were given, and of those that ended."""
    there = head(database)
    given = database.execute("SELECT last_lease FROM counters WHERE id = 1").fetchone()[0]
    standing = database.execute("SELECT count(*) FROM leases").fetchone()[0]
    return Mark(there.revision + given + (given - standing), there.position, there.hash)


def has(database: Database, reached: Mark) -> bool:
    """Whether it has got that far, and to that fact."""
    row = database.execute("SELECT hash FROM facts WHERE position = ?", (reached.position,)).fetchone()
    there = GENESIS_HASH if reached.position == 0 else row and row[0]
    return bool(mark(database).number >= reached.number and there == reached.hash)


def verify(database: Database, last: int | None = None) -> None:
    """Walks all facts, or the last so many. `Corrupt` (LOG_CORRUPT): one is missing, swapped, changed, or malformed."""
    after = 0 if last is None else max(0, head(database).position - last)
    previous, expected = GENESIS_HASH, after + 1
    if after:
        before = database.execute("SELECT hash FROM facts WHERE position = ?", (after,)).fetchone()
        if before is None:
            raise _corrupt(f"fact {after} is not what was committed")
        previous = before[0]
    if database.execute("SELECT 1 FROM facts WHERE position < 1").fetchone() is not None:
        raise _corrupt("a fact stands before the first one")
    rows = database.execute("SELECT * FROM facts WHERE position > ? ORDER BY position", (after,))
    for position, _, name, version, payload, stored in rows:
        fact = _fact(name, version, payload, position)
        computed = stored_hash(previous, position, Encoded(name, version, payload, fact))
        if position != expected or computed != stored:
            raise _corrupt(f"fact {expected} is not what was committed")
        previous, expected = stored, expected + 1
    if not seal.holds(database):
        raise _corrupt("a record or a lease is not what was committed")


def facts(database: Database, after: int, limit: int) -> Sequence[SequencedFact]:
    rows = database.execute(
        "SELECT * FROM facts WHERE position > ? ORDER BY position LIMIT ?", (min(after, _INT_MAX), limit)
    )
    return [
        SequencedFact(position, stored, at_ms, _fact(name, version, payload, position))
        for position, at_ms, name, version, payload, stored in rows
    ]


def _fact(name: str, version: int, payload: bytes, position: int) -> Fact:
    fact = CODEC.decode(name, version, payload)
    if not isinstance(fact, Fact):
        raise _corrupt(f"{name} at position {position} is no fact")
    return fact


def _corrupt(text: str) -> Corrupt:
    return Corrupt(
        Code.LOG_CORRUPT,
        f"the fact log is damaged: {text}",
        RESTORE,
    )


# ---------------------------------------------------------------- records


def held(database: Database, key: str) -> Held | None:
    row = database.execute("SELECT value, revision FROM records WHERE key = ?", (key,)).fetchone()
    return None if row is None else Held(*row)


def records(database: Database, prefix: str) -> Iterator[tuple[str, Held]]:
    rows = database.execute(
        "SELECT key, value, revision FROM records WHERE key >= ? AND substr(key, 1, ?) = ? ORDER BY key",
        (prefix, len(prefix), prefix),
    )
    for key, value, revision in rows:
        yield key, Held(value, revision)


def leased(database: Database) -> str | None:
    """The key of a record that stands under a lease."""
    row = database.execute("SELECT key FROM records WHERE lease != 0 ORDER BY key LIMIT 1").fetchone()
    return None if row is None else row[0]


def put_beside(database: Database, key: str, value: bytes) -> None:
    """A record about the log itself: no part of its history, so that the revision stays. A lease that nobody gets is
    counted for it, so that the end of the log is another one.
    """
    before = seal.of(database, [key])
    database.execute("UPDATE counters SET last_lease = last_lease + 1 WHERE id = 1")
    database.execute("INSERT OR REPLACE INTO records (key, value, revision, lease) VALUES (?, ?, 0, 0)", (key, value))
    seal.change(database, before, seal.of(database, [key]))


def store(database: Database, change: Change) -> None:
    revision, keys = change.head.revision, [write.key for write in change.writes]
    before = seal.of(database, keys)
    for write in change.writes:
        if isinstance(write, Put):
            database.execute(
                "INSERT OR REPLACE INTO records (key, value, revision, lease) VALUES (?, ?, ?, ?)",
                (write.key, write.value, revision, write.lease),
            )
        else:
            database.execute("DELETE FROM records WHERE key = ?", (write.key,))
    for each in change.facts:
        encoded = CODEC.encode(each.fact)
        database.execute(
            "INSERT INTO facts (position, at_ms, name, version, payload, hash) VALUES (?, ?, ?, ?, ?, ?)",
            (each.position, each.at_ms, encoded.name, encoded.version, encoded.payload, each.hash),
        )
    database.execute("UPDATE counters SET revision = ? WHERE id = 1", (revision,))
    seal.change(database, before, seal.of(database, keys))


# ---------------------------------------------------------------- leases


def add_lease(database: Database, ttl_s: float) -> int:
    before = seal.of(database)
    database.execute("UPDATE counters SET last_lease = last_lease + 1 WHERE id = 1")
    lease: int = database.execute("SELECT last_lease FROM counters WHERE id = 1").fetchone()[0]
    database.execute("INSERT INTO leases (lease, ttl_s) VALUES (?, ?)", (lease, ttl_s))
    seal.change(database, before, seal.of(database, leases=[lease]))
    return lease


def leases(database: Database) -> Sequence[tuple[int, float]]:
    return [(lease, ttl_s) for lease, ttl_s in database.execute("SELECT lease, ttl_s FROM leases")]


def lease_stands(database: Database, lease: int) -> bool:
    row = database.execute("SELECT 1 FROM leases WHERE lease = ?", (min(lease, _INT_MAX),)).fetchone()
    return row is not None


def end_leases(database: Database, ended: Sequence[int]) -> None:
    """With the records that stand under them. Lease 0 is none: what it names stays."""
    for lease in ended:
        if 0 < lease <= _INT_MAX:
            keys = [key for (key,) in database.execute("SELECT key FROM records WHERE lease = ?", (lease,))]
            before = seal.of(database, keys, [lease])
            database.execute("DELETE FROM records WHERE lease = ?", (lease,))
            database.execute("DELETE FROM leases WHERE lease = ?", (lease,))
            seal.change(database, before, seal.of(database, keys, [lease]))
