"""The one table of an event log, in the live log and in its exported copies: columns, indexes, rows in and out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from operator import attrgetter
from sqlite3 import Connection as Database
from typing import Any

import attrs

from ployz.events.files import FileKind
from ployz.events.log import Row

_TABLE = "events"
_COLUMNS = tuple(column.name for column in attrs.fields(Row))
_columns = attrgetter(*_COLUMNS)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM {_TABLE}"  # noqa: S608 - made of our own names
_INSERT = f"INSERT INTO {_TABLE} ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - as above


def _create(database: Database) -> None:
    database.execute(
        f"CREATE TABLE {_TABLE} (seq INTEGER PRIMARY KEY NOT NULL, at_ms INTEGER NOT NULL, stream TEXT NOT NULL,"
        " name TEXT NOT NULL, version INTEGER NOT NULL, payload BLOB NOT NULL, operation_id TEXT, step TEXT,"
        " previous_hash BLOB NOT NULL, hash BLOB NOT NULL) STRICT"
    )
    # NULLs differ from each other here: rows without a step, or without an operation, are never in each other's way.
    database.execute(f"CREATE UNIQUE INDEX idx_events_operation_id_step ON {_TABLE} (operation_id, step)")


EVENT_LOG = FileKind(what="event log", application_id=0x504C6F67, version=1, create=_create)  # "PLog"
EXPORTED_LOG = FileKind(what="exported event log", application_id=0x504C6578, version=1, create=_create)  # "PLex"
"""A copy has its own mark, so that no ployzd ever appends to one."""


def insert(database: Database, rows: Iterable[Row]) -> None:
    database.executemany(_INSERT, map(_columns, rows))


def insert_new(database: Database, rows: Iterable[Row]) -> bool:
    """Inside a transaction. False: one of them is there already, or its step is, and none was added."""
    execute = database.execute
    execute("SAVEPOINT new")
    try:
        insert(database, rows)
    except sqlite3.IntegrityError:
        execute("ROLLBACK TO new")
        return False
    finally:
        execute("RELEASE new")
    return True


def select(database: Database, where: str, *values: object) -> list[Row]:
    """Rows as they are, unchecked. `where` is SQL of ours, with `?` for each value."""
    found: list[tuple[Any, ...]] = database.execute(f"{_SELECT} {where}", values).fetchall()
    return [Row(*columns) for columns in found]
