"""The file of a node's last snapshot, which only a ployz reads that folds exactly as the one that wrote it."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from anyio import to_thread

from ployz.errors import Code, Failed
from ployz.install.files import write_durably
from ployz.projections import snapshot
from ployz.projections.folded import Folded

_MODE: Final = 0o600
FOLDING: Final = (
    *("projections", "facts", "manifest", "events", "wire", "strict", "config", "surroundings", "clock", "errors"),
    *("printable", "ids"),
)
"""What a fold can depend on: the layer of projections, and those below it."""
READING: Final = ("attrs", "cattrs", "msgpack")
"""What turns a log and a snapshot into values."""


class SnapshotFile:
    """All of it in a thread: at scale it takes a second."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> Folded | None:
        return await to_thread.run_sync(self._read)

    async def write(self, folded: Folded) -> None:
        """Nobody may change it meanwhile."""
        await to_thread.run_sync(self._write, folded)

    def _read(self) -> Folded | None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"{self._path} cannot be read: {error.strerror}") from error
        return snapshot.load(data, Folded, _this_ployz())

    def _write(self, folded: Folded) -> None:
        write_durably(self._path, snapshot.dump(folded, _this_ployz()), mode=_MODE)


def digest(package: Path) -> bytes:
    """Of every line that folds: whatever is changed there may change what a log folds into. Most of what an upgrade
    changes is elsewhere, and a start after it need not read all of the log.
    """
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.with_suffix("").parts[0] in FOLDING:
            found.update(hashlib.sha256(str(place).encode()).digest())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.digest()


@cache
def _this_ployz() -> bytes:
    versions = [*sys.version_info[:2], *(metadata.version(each) for each in READING)]
    return hashlib.sha256(repr(versions).encode() + digest(Path(snapshot.__file__).parents[1])).digest()
