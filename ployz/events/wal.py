"""A write-ahead log of SQLite as its headers show it, read before SQLite does: whether what SQLite will take for torn
was once whole, and a second name for it, since SQLite throws away what it does not take.

The format: sqlite.org/fileformat2.html, "WAL File Format".
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

SUFFIX: Final = "-wal"
KEPT_SUFFIX: Final = "-wal.before"
_HEADER: Final = struct.Struct(">IIIIIIII")
_FRAME: Final = struct.Struct(">IIII")
"""The first four numbers of a frame's header: page, size of the database after a commit or 0, and both salts."""
_FRAME_HEADER_BYTES: Final = 24
_MAGICS: Final = frozenset({0x377F0682, 0x377F0683})


@frozen
class Frames:
    """Those of the generation that the header names, in order; older ones may lie behind them."""

    ends: tuple[bool, ...] = ()
    """Whether each ends a transaction."""

    def lost(self, recovered: int) -> bool:
        """Whether a transaction was whole that is not among the first `recovered` frames.

        Each commit is on the disk before the next transaction begins (`synchronous = FULL`): only the last one can have
        been torn by a cut of the power, and nothing stands behind that.
        """
        return any(self.ends[recovered:-1])


def read_frames(log: Path) -> Frames:
    """Of a log that nobody has open. None of them, where there is no file or it has no header that can be read."""
    try:
        with _wal(log).open("rb", buffering=0) as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                return Frames()
            magic, _, page_bytes, _, *salts, _, _ = _HEADER.unpack(head)
            if magic not in _MAGICS:
                return Frames()
            ends = []
            at = _HEADER.size
            while len(frame := os.pread(file.fileno(), _FRAME.size, at)) == _FRAME.size:
                _, size, *its = _FRAME.unpack(frame)
                if its != salts:
                    break
                ends.append(size > 0)
                at += _FRAME_HEADER_BYTES + page_bytes
            return Frames(tuple(ends))
    except OSError:
        return Frames()


def keep(log: Path) -> bool:
    """Under a second name, with all that is in it; whether it was. One that was kept before is of an earlier damage,
    and stays.
    """
    try:
        if _wal(log).stat().st_size == 0:
            return False
        os.link(_wal(log), _kept(log))
    except OSError:
        return False
    return True


def let_go(log: Path) -> None:
    with suppress(OSError):
        _kept(log).unlink()


def kept(log: Path) -> str:
    """For an error: where it is. Empty: none was."""
    return f"What had not reached it is kept in {_kept(log)}. " if _kept(log).exists() else ""


def _wal(log: Path) -> Path:
    return log.with_name(log.name + SUFFIX)


def _kept(log: Path) -> Path:
    return log.with_name(log.name + KEPT_SUFFIX)
