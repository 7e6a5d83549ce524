"""The file of a log's compaction: what it says now, and the pieces of what was decided, which are only ever added to.

Beside the log and not in it: what fails in a file that can be made anew shall not end the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from sqlite3 import Connection as Database
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from ployz import projections
from ployz.errors import Code, Corrupt, Failed, PloyzError, Refused
from ployz.events.connection import Connection
from ployz.events.files import FileKind
from ployz.projections.compaction import Compaction
from ployz.projections.snapshot import Unusable, dump, load

if TYPE_CHECKING:
    from sqlite_utils import Database as Tables

T = TypeVar("T")

_BODY: Final = "body"
_PIECES: Final = "pieces"
_RULE: Final = ("compaction.py", "local_places.py", "archive.py")


def _create(database: Tables) -> None:
    for table in (_BODY, _PIECES):
        database.table(table).create({"place": int, "content": bytes}, pk="place", not_null={"content"}, strict=True)


_KIND: Final = FileKind(what="compaction of a log", application_id=0x504C636D, version=1, create=_create)  # "PLcm"


class CompactionFile:
    """`Compactions`. Opened when it is first used; one that is damaged is made anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def read(self) -> Compaction | None:
        def work(database: Database) -> Compaction | None:
            body = _content(database, _BODY, 0)
            return None if body is None else load(body, Compaction, _rule())

        return await self._read(work)

    async def piece(self, place: int) -> bytes:
        piece = await self._read(partial(_content, table=_PIECES, place=place))
        if piece is None:
            raise Corrupt(Code.LOG_CORRUPT, f"{self._path} has no piece {place}")
        return piece

    async def write(self, compaction: Compaction) -> None:
        def work(database: Database) -> None:
            place, piece = compaction.pieces, compaction.cut()
            database.execute(f"DELETE FROM {_PIECES} WHERE place > ?", (place,))  # noqa: S608 - a name of our own
            _put(database, _PIECES, place, piece)
            _put(database, _BODY, 0, dump(compaction, _rule()))

        connection = await self._open()
        try:
            await connection.write(work)
        except PloyzError:
            await self.aclose()  # it would refuse from now on; the next one may find room again
            raise
        except Exception as error:  # as below
            await self._remove()
            raise self._damaged(error) from error

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    async def _read(self, work: Callable[[Database], T]) -> T:
        connection = await self._open()
        try:
            return await connection.read(work)
        except (Unusable, Refused):
            raise
        except Exception as error:  # whatever damage in such a file makes of SQLite, and of what SQLite returns
            await self._remove()
            raise self._damaged(error) from error

    async def _open(self) -> Connection:
        if self._connection is None:
            try:
                self._connection = await Connection.open(self._path, _KIND)
            except (Refused, Failed):
                raise
            except Exception as error:  # as above
                await self._remove()
                raise self._damaged(error) from error
        return self._connection

    async def _remove(self) -> None:
        await self.aclose()
        for end in ("", "-wal", "-shm"):
            with suppress(OSError):  # it is found damaged again, then
                self._path.with_name(self._path.name + end).unlink(missing_ok=True)

    def _damaged(self, error: Exception) -> Corrupt:
        what = error.problem.text if isinstance(error, PloyzError) else f"{self._path} is damaged: {error}"
        return Corrupt(Code.LOG_CORRUPT, f"{what}; it is removed, and made anew", "look at the disk")


@cache
def _rule() -> bytes:
    """A digest of every line that says which records count: after a change there, a compaction is made anew."""
    folder = Path(projections.__path__[0])
    lines = ((folder / name).read_bytes() for name in _RULE)
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in lines)).digest()


def _put(database: Database, table: str, place: int, content: bytes) -> None:
    database.execute(f"INSERT OR REPLACE INTO {table} (place, content) VALUES (?, ?)", (place, content))  # noqa: S608 - as above


def _content(database: Database, table: str, place: int) -> bytes | None:
    found = database.execute(f"SELECT content FROM {table} WHERE place = ?", (place,)).fetchone()  # noqa: S608 - as above
    if found is None:
        return None
    if not isinstance(found[0], bytes):
        raise TypeError(f"the table {table} has something else than bytes")
    return found[0]
