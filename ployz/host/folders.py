"""Folders of this host, as volumes need them: there, and owned by whom the manifest says."""

from __future__ import annotations

import os
from typing import Final

import anyio

from ployz.errors import Code, Failed

LOOKED_AT_MAX: Final = 20_000
"""Entries of a folder, for whether anything was written there."""


class SystemFolders:
    async def ensure(self, path: str) -> None:
        try:
            await anyio.Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"the folder {path} could not be made: {error.strerror}") from error

    async def written_since(self, path: str, since_ms: int) -> bool:
        return await anyio.to_thread.run_sync(_written_since, path, since_ms)

    async def own(self, path: str, *, mode: int | None, owner: tuple[int, int] | None) -> None:
        try:
            if mode is not None:
                await anyio.Path(path).chmod(mode)
            if owner is not None:
                await anyio.to_thread.run_sync(os.chown, path, *owner)
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"the folder {path} could not be given away: {error.strerror}") from error


def _written_since(path: str, since_ms: int) -> bool:
    """Symbolic links are not followed: what they lead to is not in the folder."""
    left = LOOKED_AT_MAX
    folders = [path]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0 or entry.stat(follow_symlinks=False).st_mtime_ns // 1_000_000 > since_ms:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
    except FileNotFoundError:
        return False  # it went while it was looked at
    except OSError:
        return True
    return False
