"""Reading a snapshot whose dataset is not mounted: through a clone, mounted read-only in a place of its own.

`.zfs/snapshot` needs the dataset mounted, which a fenced source and a receiving target must not be.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final

import anyio
import anyio.to_thread

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset
from ployz.host.zfs import parse
from ployz.host.zfs.commands import Commands
from ployz.host.zfs.failures import Says
from ployz.host.zfs.tree import TreeDigests

PREFIX: Final = "ployz-verify-"
"""Of every clone's name, right below the pool: never below the root, where a dataset is a volume."""
CLEAN_S: Final = 60.0
VOLUMES_MAX: Final = 32
"""Whose files are remembered between two digests."""


def is_digests(dataset: Dataset) -> bool:
    """It goes by itself."""
    return dataset.partition("/")[2].startswith(PREFIX)


class Clones:
    def __init__(self, zfs: Commands) -> None:
        self._zfs = zfs
        self._trees: dict[Dataset, TreeDigests] = {}

    async def digest(self, dataset: Dataset, snapshot: str) -> str:
        """`Failed`: there is no such snapshot, or it cannot be read."""
        tree = self._trees.pop(dataset, None) or TreeDigests()
        self._trees[dataset] = tree
        if len(self._trees) > VOLUMES_MAX:
            del self._trees[next(iter(self._trees))]
        found = await self._zfs.get("creation", f"{dataset}@{snapshot}")
        if found is None:
            raise Failed(Code.ZFS_FAILED, f"there is no snapshot {dataset}@{snapshot}")
        created_s = parse.number(found[f"{dataset}@{snapshot}"], "creation")
        nobody_waits = Event()
        async with self._mounted(f"{dataset}@{snapshot}") as folder:
            try:
                read = partial(tree.digest, folder, created_s, nobody_waits)
                return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
            except OSError as error:
                raise Failed(Code.ZFS_FAILED, f"{dataset}@{snapshot} cannot be read: {error}") from error
            finally:
                nobody_waits.set()

    async def sweep(self, pool: str) -> None:
        text = await self._zfs.look("zfs", "list", "-H", "-o", "name", "-r", "-d", "1", pool)
        for name in (text or "").splitlines():
            if name.startswith(f"{pool}/{PREFIX}"):
                await self._zfs.change(name, "zfs", "destroy", name, settled=Says.ABSENT)

    @asynccontextmanager
    async def _mounted(self, snapshot: str) -> AsyncIterator[Path]:
        pool = snapshot.partition("/")[0]
        clone = f"{pool}/{PREFIX}{hashlib.sha256(snapshot.encode()).hexdigest()[:16]}"
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            await self._zfs.change(clone, "zfs", "destroy", clone, settled=Says.ABSENT)  # of one that was killed
            options = ("-o", "canmount=noauto", "-o", "readonly=on", "-o", f"mountpoint={folder}")
            await self._zfs.change(clone, "zfs", "clone", *options, snapshot, clone)
            await self._zfs.change(clone, "zfs", "mount", "-o", "ro", clone, settled=Says.MOUNTED)  # zfs-fuse has
            yield Path("/proc") / self._zfs.own_process / "root" / folder.relative_to("/")
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLEAN_S):
                await self._zfs.change(clone, "zfs", "destroy", clone, settled=Says.ABSENT)
                await anyio.Path(folder).rmdir()
