"""A machine's ZFS pool on a sparse file: kernel ZFS where the host has it, else a zfs-fuse of the machine's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen

from ployz.errors import Failed
from ployz.host.zfs.turns import LOCK
from ployz.lab.daemon import Daemon
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import run, wait_until

READY_S = 20
KERNEL_DEVICE = Path("/dev/zfs")


def in_turn(argv: Sequence[str]) -> list[str]:
    """The command that mounts by hand beside a ployzd: as the driver does it, where a zfs-fuse would mix both up."""
    return [*argv] if KERNEL_DEVICE.exists() else ["flock", "--no-fork", str(LOCK), *argv]


class Pool(Protocol):
    @property
    def name(self) -> str: ...

    def bring_up(self, size: str) -> None:
        """Imports what is there, else makes it with `size` (as truncate takes it, `8G`)."""
        ...

    def alive(self) -> bool: ...


@frozen
class FusePool:
    """Its daemon dies with the machine, and so does its hold on the file."""

    namespaces: Namespaces
    file: Path
    daemon: Daemon
    name: str = "tank"

    @classmethod
    def of(cls, namespaces: Namespaces, file: Path, log: Path) -> FusePool:
        # The two timeouts (seconds that the kernel may cache a look-up) make it several times faster.
        argv = ["zfs-fuse", "--no-daemon", "-a", "1", "-e", "1", "--no-kstat-mount"]
        return cls(namespaces, file, Daemon(namespaces, "zfs-fuse", argv, log))

    def bring_up(self, size: str) -> None:
        for folder in ("zfs", "lock/zfs"):
            (self.namespaces.root / "run" / folder).mkdir(exist_ok=True)
        socket = self.namespaces.root / "run/zfs/zfs_socket"
        if not self.daemon.alive():
            socket.unlink(missing_ok=True)
        self.daemon.start()

        def listens() -> bool:
            self.daemon.require_alive()
            return socket.exists()

        wait_until(f"{self.namespaces.who}: zfs-fuse", listens, deadline_s=READY_S)
        import_or_create(self.namespaces.run, self.name, self.file, size)

    def alive(self) -> bool:
        return self.daemon.alive()


@frozen
class KernelPool:
    """One kernel, one list of pools: the name carries the lab's and the machine's.

    Such a pool outlives the machine's processes, so that a power cut loses nothing that the kernel has.
    """

    file: Path
    name: str

    def bring_up(self, size: str) -> None:
        import_or_create(run, self.name, self.file, size, options=("-o", "cachefile=none"), unmounted=("-N",))

    def alive(self) -> bool:
        return self.name in run(["zpool", "list", "-H", "-o", "name"]).split()

    def export(self) -> None:
        """Once the machine's processes are gone: the kernel alone would hold on to the file."""
        if self.alive():
            run(["zpool", "export", "-f", self.name])


class Runs(Protocol):
    def __call__(self, argv: Sequence[str]) -> str: ...


def import_or_create(  # a machine's own `zpool` and the host's differ only in where they run
    program: Runs, name: str, file: Path, size: str, *, options: Sequence[str] = (), unmounted: Sequence[str] = ()
) -> None:
    if name in program(["zpool", "list", "-H", "-o", "name"]).split():
        return
    if file.exists():
        try:
            program(["zpool", "import", "-f", *unmounted, *options, "-d", str(file.parent), name])
        except Failed as error:
            # An `up` that was killed before `zpool create` leaves a file of zeros. Over a pool, create refuses.
            if "no such pool" not in error.problem.text and "no pools available" not in error.problem.text:
                raise
        else:
            return
    file.parent.mkdir(exist_ok=True)
    run(["truncate", "--size", size, str(file)])
    program(["zpool", "create", *options, "-m", "none", name, str(file)])
