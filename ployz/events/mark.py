"""Where a log ended when it last answered, in a file beside it: what shows that the end of a log was lost.

SQLite takes a write-ahead log for ended at the first frame whose checksum does not fit (sqlite.org/walformat.html, "The
Checksum Algorithm"): with one flipped bit a history is shorter, and nothing in what is left of it says so.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

MARK_SUFFIX: Final = ".end"
_FORM: Final = struct.Struct(">QQ32s")
_SUM: Final = struct.Struct(">I")
_SLOT_BYTES: Final = 64
_SLOTS: Final = 2
"""Written in turn, so that one that is torn leaves the other."""
_MODE: Final = 0o600


@frozen
class Mark:
    number: int
    """Of the last change: an event's number, or a fact log's revision."""
    position: int
    """Of the last row that is chained: an event's number, or a fact's position. 0: there is none."""
    hash: bytes
    """Of that row."""


class MarkFile:
    """Never ahead of the log: it is written when a commit is on the disk, before anybody hears of that. It may be
    behind, by what the kernel had not written when the power was cut: no proof of a whole log, but one of a short one.
    """

    def __init__(self, log: Path) -> None:
        self._path = path_of(log)
        self._file: int | None = None
        self._turn = 0

    def write(self, mark: Mark) -> None:
        """Without an fsync, which would cost as much as the commit. A mark that cannot be written stays behind."""
        packed = _FORM.pack(mark.number, mark.position, mark.hash)
        with suppress(OSError):
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            os.pwrite(self._file, packed + _SUM.pack(zlib.crc32(packed)), self._turn * _SLOT_BYTES)
            self._turn = (self._turn + 1) % _SLOTS

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = None


def path_of(log: Path) -> Path:
    return log.with_name(log.name + MARK_SUFFIX)


def read_mark(log: Path) -> Mark | None:
    """The newer one that can be read. None: there is none, as beside a copy."""
    try:
        content = path_of(log).read_bytes()
    except OSError:
        return None
    slots = (_parse(content[at : at + _SLOT_BYTES]) for at in range(0, len(content), _SLOT_BYTES))
    return max(filter(None, slots), key=lambda each: each.number, default=None)


def _parse(slot: bytes) -> Mark | None:
    packed, check = slot[: _FORM.size], slot[_FORM.size : _FORM.size + _SUM.size]
    if len(check) < _SUM.size or _SUM.unpack(check)[0] != zlib.crc32(packed):
        return None
    return Mark(*_FORM.unpack(packed))
