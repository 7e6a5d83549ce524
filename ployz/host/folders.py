"""Folders of this host, as volumes need them: there, and owned by whom the manifest says."""

from __future__ import annotations

import os

import anyio

from ployz.errors import Code, Failed


class SystemFolders:
    async def ensure(self, path: str) -> None:
        try:
            await anyio.Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"the folder {path} could not be made: {error.strerror}") from error

    async def own(self, path: str, *, mode: int | None, owner: tuple[int, int] | None) -> None:
        try:
            if mode is not None:
                await anyio.Path(path).chmod(mode)
            if owner is not None:
                await anyio.to_thread.run_sync(os.chown, path, *owner)
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"the folder {path} could not be given away: {error.strerror}") from error
