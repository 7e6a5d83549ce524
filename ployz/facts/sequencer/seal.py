"""A digest of what the chain of facts does not cover: records, leases, and the numbers that are never reused.

It is the sum, without carry, of a hash for each row: whoever writes rows changes it by those rows alone, in the same
transaction. It shows damage; whoever can write the file can make it right again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from sqlite3 import Connection as Database
from typing import Final

from ployz.strict import pack

_BYTES: Final = 32
_RECORDS: Final = "SELECT key, value, revision, lease FROM records"
_LEASES: Final = "SELECT lease, ttl_s FROM leases"
_COUNTERS: Final = "SELECT revision, last_lease FROM counters"


def make(database: Database) -> bool:
    """Whether there was none: as in a file that an older ployz made, which is believed once."""
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'seal'").fetchone() is not None:
        return False
    database.execute("CREATE TABLE seal (id INTEGER PRIMARY KEY, digest BLOB NOT NULL) STRICT")
    database.execute("INSERT INTO seal (id, digest) VALUES (1, ?)", (_bytes(of_all(database)),))
    return True


def holds(database: Database) -> bool:
    return _read(database) == of_all(database)


def of_all(database: Database) -> int:
    return _sum(database.execute(_RECORDS)) ^ _sum(database.execute(_LEASES)) ^ _sum(database.execute(_COUNTERS))


def of(database: Database, keys: Collection[str] = (), leases: Collection[int] = ()) -> int:
    """Of these rows, as they are now, and of the counters."""
    found = _sum(database.execute(_COUNTERS))
    for key in dict.fromkeys(keys):
        found ^= _sum(database.execute(f"{_RECORDS} WHERE key = ?", (key,)))
    for lease in dict.fromkeys(leases):
        found ^= _sum(database.execute(f"{_LEASES} WHERE lease = ?", (lease,)))
    return found


def change(database: Database, before: int, after: int) -> None:
    """By what `of` gave before and after a write."""
    database.execute("UPDATE seal SET digest = ? WHERE id = 1", (_bytes((_read(database) or 0) ^ before ^ after),))


def _read(database: Database) -> int | None:
    row = database.execute("SELECT digest FROM seal WHERE id = 1").fetchone()
    return None if row is None else int.from_bytes(row[0], "big")


def _sum(rows: Iterable[tuple[object, ...]]) -> int:
    found = 0
    for row in rows:
        found ^= int.from_bytes(hashlib.sha256(pack(row)).digest(), "big")
    return found


def _bytes(digest: int) -> bytes:
    return digest.to_bytes(_BYTES, "big")
