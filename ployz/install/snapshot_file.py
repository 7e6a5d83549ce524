"""The file of a node's last snapshot, which only the very ployz that wrote it reads."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from anyio import to_thread

from ployz import __version__
from ployz.errors import Code, Failed
from ployz.install.files import write_durably
from ployz.projections import snapshot
from ployz.projections.folded import Folded

_MODE: Final = 0o600


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
        return snapshot.load(data, this_ployz())

    def _write(self, folded: Folded) -> None:
        write_durably(self._path, snapshot.dump(folded, this_ployz()), mode=_MODE)


@cache
def this_ployz() -> bytes:
    """Of every line of it: whatever is changed may change what a log folds into."""
    package = Path(snapshot.__file__).parents[1]
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(package.rglob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()
