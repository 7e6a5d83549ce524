"""Copies of an event log: a file that anybody may open, and that no node ever appends to.

Synchronous, for the command line: rows come from a node through its API, since nobody else opens a live log.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self

from ployz.errors import Code, Failed, Refused
from ployz.events.chain import to_record
from ployz.events.codec import CODEC, Codec
from ployz.events.files import FileKind, create, open_read_only, problem_of
from ployz.events.log import Record, Row
from ployz.events.tables import EXPORTED_LOG, insert, select, unfindable

_PAGE_ROWS = 1_000
FILE_MODE = 0o600


class ExportWriter:
    """A context manager that writes `path`, whole or not at all: into a draft, linked when the block ends well.

    Rows are copied as they are, so that a broken log can be saved and looked at: verifying the copy finds the same.
    """

    def __init__(self, path: Path, owner: int | None = None) -> None:
        """`owner`: the user whose file it shall be, who alone may read it. None: of whoever runs this.

        `Refused` (USAGE): there is something at `path` already.
        """
        self._path = path
        self._owner = owner
        self._part = path.with_name(f".{path.name}.{token_hex(8)}.part")
        self._refuse_to_overwrite()

    def __enter__(self) -> Self:
        self._make_part()
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
        try:
            os.link(self._part, self._path, follow_symlinks=False)  # unlike a rename it replaces nothing
        except FileExistsError:
            self._refuse_to_overwrite()
            raise
        except OSError as error:
            raise Failed(Code.LOG_FAILED, f"{self._path} cannot be written: {error.strerror}") from error
        _sync(self._path.absolute().parent)

    def _make_part(self) -> None:
        """A file of a name that nobody knew, which is there already for nobody else."""
        try:
            descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
            try:
                if self._owner is not None:
                    os.fchown(descriptor, self._owner, -1)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._part.unlink(missing_ok=True)
            raise Failed(Code.LOG_FAILED, f"{self._path} cannot be written: {error.strerror}") from error

    def _refuse_to_overwrite(self) -> None:
        if os.path.lexists(self._path):
            raise Refused(Code.USAGE, f"{self._path} is there already", "name a file that does not exist")


class ExportedLog:
    """An exported copy, or the log of a ployzd that does not run, open to be read. A context manager; needs no node."""

    def __init__(self, path: Path, codec: Codec = CODEC, kind: FileKind = EXPORTED_LOG) -> None:
        """`Refused`: no such file, a newer ployz wrote it, or a ployzd has it open. `Corrupt`: it is no such log."""
        self._path = path
        self._codec = codec
        self._kind = kind
        self._database = open_read_only(path, kind)

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

    def unfindable(self) -> list[int]:
        """The events whose step the file's index does not lead to."""
        with self._problems():
            return unfindable(self._database, 0, 2**63 - 1)

    def find_seq(self, seq: int) -> Record | None:
        rows = self._select("WHERE seq = ?", seq)
        return to_record(rows[0], self._codec) if rows else None

    def _select(self, where: str, *values: object) -> list[Row]:
        with self._problems():
            return select(self._database, where, *values)

    @contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise problem_of(self._path, self._kind, error) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
