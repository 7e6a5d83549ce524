"""Copies of an event log: a file that anybody may open, and that no node ever appends to.

Synchronous, for the command line: rows come from a node through its API, since nobody else opens a live log.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ployz.errors import Code, Refused
from ployz.events.chain import to_record
from ployz.events.codec import CODEC, Codec
from ployz.events.files import create, open_read_only, problem_of
from ployz.events.log import Record, Row
from ployz.events.tables import EXPORTED_LOG, insert, select

_PAGE_ROWS = 1_000


class ExportWriter:
    """A context manager that writes `path`, whole or not at all: into `path.part`, renamed when the block ends well.

    Rows are copied as they are, so that a broken log can be saved and looked at: verifying the copy finds the same.
    """

    def __init__(self, path: Path) -> None:
        """`Refused` (USAGE): there is something at `path` already."""
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._refuse_to_overwrite()

    def __enter__(self) -> Self:
        self._part.unlink(missing_ok=True)
        try:
            self._database = sqlite3.connect(str(self._part), isolation_level=None)
        except sqlite3.Error as error:
            raise problem_of(self._part, EXPORTED_LOG, error) from error
        try:
            # Until it is renamed the file is nobody's: no journal, and one fsync at the end.
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute("BEGIN")
            create(EXPORTED_LOG, self._database)
        except sqlite3.Error as error:
            self._database.close()
            raise problem_of(self._part, EXPORTED_LOG, error) from error
        return self

    def write(self, rows: Sequence[Row]) -> None:
        """`Failed` (LOG_FAILED): the disk refused, most likely full."""
        try:
            insert(self._database, rows)
        except sqlite3.Error as error:
            raise problem_of(self._part, EXPORTED_LOG, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._database.close()
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        try:
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise problem_of(self._part, EXPORTED_LOG, error) from error
        self._database.close()
        _sync(self._part)
        self._refuse_to_overwrite()
        self._part.rename(self._path)
        _sync(self._path.absolute().parent)

    def _refuse_to_overwrite(self) -> None:
        if os.path.lexists(self._path):
            raise Refused(Code.USAGE, f"{self._path} is there already", "name a file that does not exist")


class ExportedLog:
    """An exported copy, open for reading: a context manager. Nothing of the live log is needed, and no node."""

    def __init__(self, path: Path, codec: Codec = CODEC) -> None:
        """`Refused`: no such file, or a newer ployz wrote it. `Corrupt`: it is no exported log."""
        self._path = path
        self._codec = codec
        self._database = open_read_only(path, EXPORTED_LOG)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def rows(self, after: int = 0) -> Iterator[Row]:
        """Every row past `after`, in order and as it is stored: for `chain.verify`."""
        while page := self._select("WHERE seq > ? ORDER BY seq LIMIT ?", after, _PAGE_ROWS):
            yield from page
            after = page[-1].seq

    def records(self, after: int = 0) -> Iterator[Record]:
        """The records past `after`. `Corrupt` at the first whose event cannot be read; the chain is not checked."""
        return (to_record(row, self._codec) for row in self.rows(after))

    def find_seq(self, seq: int) -> Record | None:
        rows = self._select("WHERE seq = ?", seq)
        return to_record(rows[0], self._codec) if rows else None

    def _select(self, where: str, *values: object) -> list[Row]:
        try:
            return select(self._database, where, *values)
        except sqlite3.Error as error:
            raise problem_of(self._path, EXPORTED_LOG, error) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
