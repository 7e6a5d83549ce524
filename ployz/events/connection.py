"""One SQLite file behind one connection that one thread uses: what both durable logs stand on.

How such a file is locked and closed, how a transaction commits, and what a failed COMMIT means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from sqlite3 import Connection as Database
from typing import Self, TypeVar

import anyio
from anyio import to_thread

from ployz.errors import Code, Failed, Unreachable
from ployz.events.files import FileKind, problem_of, recognise
from ployz.events.one_thread import OneThread

T = TypeVar("T")


class Connection:
    """Open for writing in this process alone. After a storage error it refuses everything until it is opened anew."""

    def __init__(self, path: Path, kind: FileKind, database: Database) -> None:
        self._path = path
        self._kind = kind
        self._database = database
        self._thread = OneThread(f"ployz {kind.what}")
        self._poison: str | None = None
        self._closed = False

    @classmethod
    async def open(cls, path: Path, kind: FileKind) -> Self:
        """Makes the file if it is not there.

        `Refused`: another process has it (LOG_LOCKED), a newer ployz wrote it (LOG_NEWER).
        `Corrupt` (LOG_CORRUPT): it is not such a file. `Failed` (LOG_FAILED): the storage does not work.
        """
        return cls(path, kind, await to_thread.run_sync(_open, path, kind))

    async def read(self, work: Callable[[Database], T]) -> T:
        """Runs `work` in the thread. It sees every write that returned before."""
        self._refuse_if_poisoned()
        return await self._thread.run(partial(self._read, work))

    async def write(self, work: Callable[[Database], T]) -> T:
        """Runs `work` in one transaction, which is on the disk when this returns.

        An exception of `work` itself rolls back and is passed on. `Failed` (LOG_FAILED): the storage refused
        before the commit, nothing was written. `Unreachable` (OUTCOME_UNKNOWN): COMMIT itself raised, so the
        transaction may or may not be found after the next open.
        """
        self._refuse_if_poisoned()
        return await self._thread.run(partial(self._write, work))

    async def aclose(self) -> None:
        """Whatever was asked for before is done first."""
        self._poison = self._poison or "it was closed"
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            try:
                await self._thread.run(self._database.close)
            finally:
                self._thread.close()

    def _read(self, work: Callable[[Database], T]) -> T:
        self._refuse_if_poisoned()
        try:
            return work(self._database)
        except sqlite3.Error as error:
            raise problem_of(self._path, self._kind, error) from error

    def _write(self, work: Callable[[Database], T]) -> T:
        self._refuse_if_poisoned()
        execute = self._database.execute
        try:
            execute("BEGIN IMMEDIATE")
            result = work(self._database)
        except sqlite3.Error as error:
            self._poison = str(error)
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself; nothing is written in any case
                self._database.rollback()
            raise problem_of(self._path, self._kind, error) from error
        except BaseException:
            self._database.rollback()
            raise
        try:
            execute("COMMIT")
        except sqlite3.Error as error:
            # What SQLite and the kernel still hold says nothing about what is on the disk: never go on from here.
            self._poison = str(error)
            raise Unreachable(
                Code.OUTCOME_UNKNOWN,
                f"{self._path}: a commit failed ({error}); it may or may not be on the disk",
                "the log is read again after ployzd was restarted; check the disk first",
            ) from error
        return result

    def _refuse_if_poisoned(self) -> None:
        if self._poison is not None:
            raise Failed(
                Code.LOG_FAILED,
                f"{self._path} takes nothing any more: {self._poison}",
                "check the disk, then restart ployzd",
            )


def _open(path: Path, kind: FileKind) -> Database:
    connection = None
    try:
        # isolation_level=None: transactions are ours alone. timeout=0: a second opener is refused, not kept waiting.
        connection = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False, timeout=0)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # before WAL: no shared-memory file, no second process
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL loses acknowledged commits at a power cut
        connection.execute("BEGIN")
        recognise(path, kind, connection, may_create=True)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise problem_of(path, kind, error) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection
