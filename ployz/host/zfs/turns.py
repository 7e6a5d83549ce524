"""Turns for what mounts, where a daemon (zfs-fuse) does it: which programs need one, and the lock file that a turn is.

A zfs-fuse is told of a mount by two writes into one pipe. Two mounts at once mix them up, and then no file system of
the machine is served any more, until the daemon ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from ployz.host.ports import Dataset
from ployz.host.zfs import failures
from ployz.host.zfs.mounts import Mount, read_mountinfo
from ployz.surroundings import SLOWNESS

PROC = Path("/proc")

LOCK: Final = Path("/run/zfs/ployz-mount.lock")
"""Beside the socket of zfs-fuse: one for all that mount on the machine, `flock FILE zfs mount …` by hand too."""

MOUNT_S = 60.0 * SLOWNESS
"""For a mount or an unmount, and for the one before it in turn to come to its end. Whoever asked waits for longer."""

POLL_S = 0.01

_MOUNTING: Final = frozenset({"mount", "create", "clone", "rename"})
_MOUNTING_PROPERTIES: Final = ("mountpoint=", "canmount=")


def may_mount(argv: Sequence[str]) -> bool:
    """Whether this `zfs …` may mount something, a parent among them. Of an unmount the daemon learns by itself."""
    return argv[1] in _MOUNTING or (argv[1] == "set" and any(each.startswith(_MOUNTING_PROPERTIES) for each in argv))


def collide(filesystems: str, mounts: Iterable[Mount]) -> bool:
    """Whether two mounts at once may hurt each other: a daemon does them. `filesystems`: /proc/filesystems.

    Where the kernel knows ZFS it mounts by itself, unless what is mounted already came from a daemon.
    """
    in_kernel = any(line.split()[-1:] == ["zfs"] for line in filesystems.splitlines())
    return not in_kernel or any(each.filesystem == "fuse.zfs" for each in mounts)


@frozen
class Turns:
    own_process: str
    """A PID or `self`: its mount namespace is the machine's."""

    def are_needed(self) -> bool:
        """Looked at anew each time: a module may have been loaded, and a look costs less than a program."""
        filesystems = (PROC / "filesystems").read_text()
        return collide(filesystems, read_mountinfo(PROC / self.own_process))

    @asynccontextmanager
    async def take(self, dataset: Dataset) -> AsyncIterator[int]:
        """The descriptor of the locked file. A program that inherits it has the turn until it ends, too.

        `Failed` (MOUNT_HANGS): one and the same other mount has kept the turn for MOUNT_S.
        """
        path = PROC / self.own_process / "root" / LOCK.relative_to("/")
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        turn = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._wait(turn, dataset)
            os.ftruncate(turn, 0)
            os.pwrite(turn, f"{dataset} {os.getpid()} {anyio.current_time()}\n".encode(), 0)
            yield turn
        finally:
            os.close(turn)

    async def _wait(self, turn: int, dataset: Dataset) -> None:
        """As long as those before it come to an end: each writes down who it is."""
        before, since_s = b"", anyio.current_time()
        while True:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found, now_s = os.pread(turn, 4096, 0), anyio.current_time()
                if found != before:
                    before, since_s = found, now_s
                elif now_s - since_s >= MOUNT_S:
                    raise failures.mount_hangs(_waited(dataset, found), by_daemon=True) from None
                await anyio.sleep(POLL_S)
            else:
                return


def _waited(dataset: Dataset, holder: bytes) -> str:
    other = holder.decode(errors="replace").partition(" ")[0] or "another dataset"
    return f"{dataset} is not mounted: the mount of {other} before it hangs, for more than {MOUNT_S:g} s"
