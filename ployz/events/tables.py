"""The one table of an event log, in the live log and in its exported copies: columns, indexes, rows in and out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from operator import attrgetter
from sqlite3 import Connection as Database
from typing import TYPE_CHECKING, Any

import attrs

from ployz.events.files import FileKind
from ployz.events.log import Row

if TYPE_CHECKING:
    from sqlite_utils import Database as Tables

_TABLE = "events"
_COLUMNS = tuple(column.name for column in attrs.fields(Row))
_columns = attrgetter(*_COLUMNS)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM {_TABLE}"  # noqa: S608 - made of our own names
_INSERT = f"INSERT INTO {_TABLE} ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - as above
_UNFINDABLE = f"""
SELECT seq FROM {_TABLE} AS row WHERE seq > ? AND seq <= ? AND step IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM {_TABLE} AS found WHERE operation_id = row.operation_id AND step = row.step AND +found.seq = row.seq
) ORDER BY seq
"""  # noqa: S608 - as above. The plus sign: it is looked for by its step, as an append does


def _create(database: Tables) -> None:
    table = database.table(_TABLE)
    table.create(
        {
            "seq": int,
            "at_ms": int,
            "stream": str,
            "name": str,
            "version": int,
            "payload": bytes,
            "operation_id": str,
            "step": str,
            "previous_hash": bytes,
            "hash": bytes,
        },
        pk="seq",
        not_null=set(_COLUMNS) - {"operation_id", "step"},
        strict=True,
    )
    # NULLs differ from each other here: rows without a step, or without an operation, are never in each other's way.
    table.create_index(["operation_id", "step"], unique=True)


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
        if database.in_transaction:  # a disk that is full has rolled all of it back
            execute("RELEASE new")
    return True


def select(database: Database, where: str, *values: object) -> list[Row]:
    """Rows as they are, unchecked. `where` is SQL of ours, with `?` for each value."""
    found: list[tuple[Any, ...]] = database.execute(f"{_SELECT} {where}", values).fetchall()
    return [Row(*columns) for columns in found]


def unfindable(database: Database, after: int, last: int) -> list[int]:
    """The events from behind `after` up to `last` whose step the index does not lead to: it would be done again."""
    return [seq for (seq,) in database.execute(_UNFINDABLE, (after, last))]
