"""Secrets as files for containers: in a tmpfs of their own, one folder for each container, gone with the power.

A bind mount shows the container its files and nothing beside them; nobody but root comes to them here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio

from ployz.errors import Code, Failed
from ployz.host.ports import SecretFile
from ployz.host.program import run

SIZE: Final = "256m"
MOUNT_S: Final = 10.0
OPTIONS: Final = f"mode=0700,size={SIZE},nosuid,nodev,noexec"


class SystemSecretFiles:
    """`folder`: where the tmpfs is mounted, by whoever comes first. A ployzd that comes later finds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def containers(self) -> list[str]:
        return sorted(each.name for each in self._folder.iterdir()) if self._folder.is_dir() else []

    async def write(self, container: str, files: Sequence[SecretFile]) -> None:
        await self._mount()
        await anyio.to_thread.run_sync(self._write, container, files)

    async def remove(self, container: str) -> None:
        try:
            await anyio.to_thread.run_sync(shutil.rmtree, self._folder / container)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Failed(
                Code.PART_FAILED, f"the secrets of {container} could not be removed: {error.strerror}"
            ) from error

    def _write(self, container: str, files: Sequence[SecretFile]) -> None:
        folder = self._folder / container
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for each in files:
                _replace(folder / each.name, each)
        except OSError as error:
            raise Failed(
                Code.PART_FAILED, f"the secrets of {container} could not be written: {error.strerror}"
            ) from error

    async def _mount(self) -> None:
        if await anyio.Path(self._folder).is_mount():
            return
        await anyio.Path(self._folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        # Linux 6.4 can keep a tmpfs out of the swap; before that nobody but the administrator can.
        for options in (f"{OPTIONS},noswap", OPTIONS):
            argv = ["mount", "-t", "tmpfs", "-o", options, "ployz-secrets", str(self._folder)]
            mounted = await run(argv, deadline_s=MOUNT_S)
            if mounted.exit_code == 0:
                return
        raise Failed(
            Code.PART_FAILED,
            f"no tmpfs could be mounted on {self._folder}: {mounted.words}",
            "Secrets are never written to a disk.",
        )


def _replace(path: Path, file: SecretFile) -> None:
    """A new file in its place: a container that runs keeps the one that it was started with."""
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(file.content)
    os.chown(draft, *file.owner)
    draft.chmod(file.mode)
    draft.rename(path)
