"""What a SQLite file of ours is: how it is marked, recognised, filled and opened for reading, and what its errors mean.

Synchronous, and without an event loop: the command line reads exported logs with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection as Database
from typing import TYPE_CHECKING

from attrs import frozen

from ployz.errors import Code, Corrupt, Failed, PloyzError, Refused

if TYPE_CHECKING:
    from sqlite_utils import Database as Tables

_BUSY, _LOCKED, _CORRUPT, _FULL, _NOTADB = 5, 6, 11, 13, 26
"""SQLite's primary result codes (sqlite.org/rescode.html)."""


@frozen
class FileKind:
    """What a file is and how an empty one is filled; stored in its header, so that no file is taken for another."""

    what: str
    """For error texts: `event log`."""
    application_id: int
    """32 bits, non-zero, never reused."""
    version: int
    """Of the tables, from 1. A file of a higher version is refused."""
    create: Callable[[Tables], None]
    """Makes the tables, inside a transaction."""


def open_read_only(path: Path, kind: FileKind) -> Database:
    """For a file that nobody writes any more, like an exported copy. Never makes or changes one.

    `Refused`: there is none (USAGE), or a newer ployz wrote it (LOG_NEWER). `Corrupt`: it is something else.
    """
    if not path.is_file():
        raise Refused(Code.USAGE, f"{path} is no file", f"name a file that holds an {kind.what}")
    connection = None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=0)
        recognise(path, kind, connection, may_create=False)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise problem_of(path, kind, error) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def recognise(path: Path, kind: FileKind, database: Database, *, may_create: bool) -> None:
    """Fills an empty file if it may; else raises what `open_read_only` raises for a file of another kind."""
    application_id, version = (_pragma(database, name) for name in ("application_id", "user_version"))
    if may_create and application_id == 0 and _is_empty(database):
        create(kind, database)
        return
    if application_id != kind.application_id:
        raise Corrupt(
            Code.LOG_CORRUPT, f"{path} is no {kind.what} of ployz", "name another file, or move this one away"
        )
    if version > kind.version:
        raise Refused(
            Code.LOG_NEWER,
            f"{path} is a {kind.what} of version {version}; this ployz knows up to {kind.version}",
            "install the ployz that wrote it, or a newer one",
        )


def create(kind: FileKind, database: Database) -> None:
    """Fills an empty file, inside a transaction of the caller's.

    sqlite-utils makes tables, and is imported for that alone: with what it brings it takes 3 MiB of memory, which a
    node that has its files already does without.
    """
    from sqlite_utils import Database as Tables

    kind.create(Tables(database))
    database.execute(f"PRAGMA application_id = {kind.application_id}")
    database.execute(f"PRAGMA user_version = {kind.version}")


def _is_empty(database: Database) -> bool:
    return database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def _pragma(database: Database, name: str) -> int:
    value: int = database.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def is_full(error: sqlite3.Error) -> bool:
    """The file cannot grow. Unlike after a write or a flush that failed, what was in it before is there."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == _FULL


def state_full(path: Path) -> Failed:
    return Failed(
        Code.STATE_FULL,
        f"{path} cannot grow, its file system is full: nothing was written",
        "Make room there; ployzd goes on by itself. `ployzctl doctor` says what takes it.",
    )


def problem_of(path: Path, kind: FileKind, error: sqlite3.Error) -> PloyzError:
    """What SQLite said, as an operator's error."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in {_BUSY, _LOCKED}:
        return Refused(
            Code.LOG_LOCKED, f"{path} is open in another process", "one ployzd a machine: stop the other one"
        )
    if primary in {_CORRUPT, _NOTADB}:
        return Corrupt(
            Code.LOG_CORRUPT,
            f"{path} is damaged: {error}",
            f"move it away and restore the {kind.what} from a copy; do not edit it",
        )
    return Failed(Code.LOG_FAILED, f"{path}: {error}", "check that the disk works and has room")
