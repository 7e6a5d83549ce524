"""A real ZFS pool of a test's own, on a sparse file: in the kernel where it has ZFS, else in a private zfs-fuse.

The private daemon lives in a mount namespace with its own /run and /var/lib/zfs: two daemons that share a
zpool.cache open the same pools and ruin them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.real import need

START_S = 20.0


@frozen
class Pool:
    name: str
    folder: Path
    """For mountpoints and other files of the test; goes with the pool."""
    namespace_pid: int | None
    """The process whose mount namespace the programs must run in; None: this one's."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Stands before an argv that must see the pool and its mounts."""
        return () if self.namespace_pid is None else ("nsenter", "--target", str(self.namespace_pid), "--mount", "--")

    def run(self, *argv: str, stdin: bytes | None = None) -> bytes:
        """What the program printed; a failure is a failure of the test."""
        done = subprocess.run([*self.prefix, *argv], input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, (argv, done.stderr)
        return done.stdout


@contextmanager
def real_pool(size_bytes: int = 1 << 30) -> Iterator[Pool]:
    """A pool with `mountpoint=none`. Whatever happens, nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ployz-pool-"))
    try:
        if Path("/dev/zfs").exists():
            need("zfs", "zpool")
            yield from _pool(folder, size_bytes, None)
        else:
            need("zfs", "zpool", "zfs-fuse", "unshare", "nsenter", "setpriv")
            with _zfs_fuse(folder) as pid:
                yield from _pool(folder, size_bytes, pid)
    finally:
        shutil.rmtree(folder)


def _pool(folder: Path, size_bytes: int, namespace_pid: int | None) -> Iterator[Pool]:
    pool = Pool(f"ployz-test-{os.getpid()}-{folder.name[-8:]}", folder, namespace_pid)
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(size_bytes)
    pool.run("zpool", "create", "-O", "mountpoint=none", pool.name, str(disk))
    try:
        yield pool
    finally:
        if namespace_pid is None:  # a private daemon takes its pool with it
            pool.run("zpool", "destroy", "-f", pool.name)


@contextmanager
def _zfs_fuse(folder: Path) -> Iterator[int]:
    """The daemon's PID. It dies with this process, even where that is killed."""
    private = folder / "var-lib-zfs"
    private.mkdir()
    script = (
        'mount -t tmpfs tmpfs /run && mkdir /run/lock /run/zfs && mount --bind "$0" /var/lib/zfs'
        " && exec zfs-fuse --no-daemon -a 1 -e 1 --no-kstat-mount"
    )
    with (folder / "zfs-fuse.log").open("wb") as log:
        daemon = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "setpriv", "--pdeathsig", "KILL",
             "sh", "-c", script, str(private)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for(["nsenter", "--target", str(daemon.pid), "--mount", "--", "zpool", "list"], daemon)
        yield daemon.pid
    finally:
        daemon.kill()  # its namespace and its mounts go with it; asked politely, it takes seconds to save a pool
        daemon.wait()


def _wait_for(argv: Sequence[str], daemon: subprocess.Popen[bytes]) -> None:
    """Until `argv` succeeds: the daemon's socket is there some time after its start."""
    deadline = time.monotonic() + START_S
    while subprocess.run(argv, capture_output=True, check=False).returncode != 0:
        assert daemon.poll() is None, "zfs-fuse ended by itself"
        assert time.monotonic() < deadline, f"zfs-fuse did not answer within {START_S} s"
        time.sleep(0.02)
