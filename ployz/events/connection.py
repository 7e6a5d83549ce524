"""One SQLite file behind one connection that one thread uses: what both durable logs stand on.

How such a file is locked and closed, how a transaction commits, and what a failed COMMIT and a full disk mean.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from sqlite3 import Connection as Database
from typing import Self, TypeVar

import anyio
from anyio import to_thread
from attrs import frozen

from ployz.errors import Code, Corrupt, Failed, PloyzError, Unreachable
from ployz.events import wal
from ployz.events.files import FileKind, is_full, problem_of, recognise, state_full
from ployz.events.mark import Mark, MarkFile, path_of, read_mark
from ployz.events.one_thread import OneThread

T = TypeVar("T")
_log = logging.getLogger("ployz.events")


@frozen
class End:
    """Of a log that must not become shorter: what a mark beside it says, and what is compared with it."""

    of: Callable[[Database], Mark]
    has: Callable[[Database, Mark], bool]
    """Whether the log has got as far as a mark, and has that row."""
    advice: str
    """What to do with one that has not."""


class Connection:
    """Open for writing in this process alone. After a storage error it refuses everything until it is opened anew.

    A file system that is full is no such error, for a log whose end is known: the file is read anew at once, and if it
    ends where it ended, reads go on, and writes too as soon as there is room.
    """

    def __init__(
        self, path: Path, kind: FileKind, database: Database, end: End | None = None, mark: MarkFile | None = None
    ) -> None:
        self._path = path
        self._end = end
        self._reached = None if end is None else end.of(database)
        self._mark = mark
        self._kind = kind
        self._database = database
        self._thread = OneThread(f"ployz {kind.what}")
        self._poison: str | None = None
        self._closed = False

    @classmethod
    async def open(cls, path: Path, kind: FileKind, end: End | None = None) -> Self:
        """Makes the file if it is not there. `end`: of one that must not have become shorter.

        `Refused`: another process has it (LOG_LOCKED), a newer ployz wrote it (LOG_NEWER).
        `Corrupt` (LOG_CORRUPT): it is not such a file, or its end is lost. `Failed`: the storage does not
        work (LOG_FAILED), or has no room (STATE_FULL).
        """
        if end is None:
            return cls(path, kind, await to_thread.run_sync(_open, path, kind))
        database, mark = await to_thread.run_sync(_open_whole, path, kind, end)
        return cls(path, kind, database, end, mark)

    async def read(self, work: Callable[[Database], T]) -> T:
        """Runs `work` in the thread. It sees every write that returned before."""
        self._refuse_if_poisoned()
        return await self._thread.run(partial(self._read, work))

    async def write(self, work: Callable[[Database], T], reached: Callable[[T], Mark | None] | None = None) -> T:
        """Runs `work` in one transaction, which is on the disk when this returns. `reached`: where it ends then, of who
        knows that from what `work` returns; else the file is asked, within it.

        An exception of `work` itself rolls back and is passed on. `Failed`: nothing was written, since there is no room
        (STATE_FULL), or since the storage refused before the commit (LOG_FAILED). `Unreachable` (OUTCOME_UNKNOWN):
        COMMIT itself raised, so the transaction may or may not be found after the next open.
        """
        self._refuse_if_poisoned()
        return await self._thread.run(partial(self._write, work, reached))

    async def aclose(self) -> None:
        """Whatever was asked for before is done first."""
        self._poison = self._poison or "it was closed"
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            try:
                await self._thread.run(self._close)
            finally:
                self._thread.close()

    def _close(self) -> None:
        self._database.close()
        if self._mark is not None:
            self._mark.close()

    def _read(self, work: Callable[[Database], T]) -> T:
        self._refuse_if_poisoned()
        try:
            return work(self._database)
        except sqlite3.Error as error:
            raise problem_of(self._path, self._kind, error) from error

    def _write(self, work: Callable[[Database], T], reached: Callable[[T], Mark | None] | None) -> T:
        self._refuse_if_poisoned()
        execute = self._database.execute
        try:
            execute("BEGIN IMMEDIATE")
            result = work(self._database)
            end = reached(result) if reached is not None else self._end_now()
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself; nothing is written in any case
                self._database.rollback()
            if is_full(error) and self._is_as_it_was():
                raise state_full(self._path) from error
            self._poison = str(error)
            raise problem_of(self._path, self._kind, error) from error
        except BaseException:
            self._database.rollback()
            raise
        try:
            execute("COMMIT")
        except sqlite3.Error as error:
            if is_full(error) and self._is_as_it_was():
                raise state_full(self._path) from error
            # What SQLite and the kernel still hold says nothing about what is on the disk: never go on from here.
            self._poison = str(error)
            raise Unreachable(
                Code.OUTCOME_UNKNOWN,
                f"{self._path}: a commit failed ({error}); it may or may not be on the disk",
                "the log is read again after ployzd was restarted; check the disk first",
            ) from error
        if self._mark is not None and end is not None and end != self._reached:
            self._reached = end
            self._mark.write(end)
        return result

    def _end_now(self) -> Mark | None:
        return None if self._end is None else self._end.of(self._database)

    def _is_as_it_was(self) -> bool:
        """A write without room may have left a part of itself behind the last commit. Read anew, as after a crash,
        the file says what it has now: all that was acknowledged and nothing else, or this connection is at its end.
        """
        if self._end is None:
            return False
        try:
            self._database.close()
            self._database = _open(self._path, self._kind)
            return self._end_now() == self._reached
        except (sqlite3.Error, PloyzError) as error:
            _log.warning("%s was full, and cannot be opened again: %s", self._path, error)
            return False

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
        raise (state_full(path) if is_full(error) else problem_of(path, kind, error)) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def _open_whole(path: Path, kind: FileKind, end: End) -> tuple[Database, MarkFile]:
    """As `_open`, of a log that has its end. What SQLite would throw away of another stays under a second name."""
    frames, is_kept = wal.read_frames(path), wal.keep(path)
    try:
        database = _open(path, kind)
        try:
            _require_end(path, database, end, frames)
            mark = MarkFile(path)
            if (reached := end.of(database)) != read_mark(path):
                mark.write(reached)
        except sqlite3.Error as error:
            database.close()
            raise problem_of(path, kind, error) from error
        except BaseException:
            database.close()
            raise
    except PloyzError as error:
        if is_kept and not isinstance(error, Corrupt):
            wal.let_go(path)
        raise
    if is_kept:
        wal.let_go(path)
    return database, mark


def _require_end(path: Path, database: Database, end: End, frames: wal.Frames) -> None:
    recovered: int | None = None
    with suppress(sqlite3.Error):  # a full disk, say: what is there can be read all the same
        recovered = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    mark, reached = read_mark(path), end.of(database)
    why = ""
    if mark is not None and not end.has(database, mark):
        why = f"it ends with {reached.position}, and had got to {mark.position} when it last answered"
        if reached.position == mark.position:
            why = "its last changes are not there"
    elif recovered is not None and frames.lost(max(0, recovered)):
        why = f"it ends with {reached.position}, and more lies behind a damaged place of {path.name}{wal.SUFFIX}"
    if why:
        theirs = f"If another copy was put there on purpose, move {path_of(path)} away too."
        raise Corrupt(Code.LOG_CORRUPT, f"the end of {path} is lost: {why}", f"{wal.kept(path)}{end.advice} {theirs}")
    with suppress(sqlite3.Error):  # so that nothing of it is taken for later, when the next one is read
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
