"""One machine of a lab: what belongs to it, and bringing it up part by part. Every step may be repeated."""

from __future__ import annotations

import tomllib
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import frozen

from ployz.ids import MachineId
from ployz.install.systemd import capabilities_dropped
from ployz.lab import namespaces
from ployz.lab.daemon import Daemon
from ployz.lab.engine import Engine, remove_control_groups, thaw
from ployz.lab.namespaces import Namespaces
from ployz.lab.pool import KERNEL_DEVICE, FusePool, KernelPool, Pool
from ployz.lab.preloaded.programs import serving
from ployz.lab.programs import side_by_side

PROGRAMS = Path(__file__).resolve().parents[2] / "bin"
"""ployzd and ployzctl: the lab runs the tree it lies in."""


def control_group(lab: Path) -> str:
    """One for each lab at the top of every hierarchy: removing it leaves no parent behind."""
    return f"ployz-lab-{lab.name}"


def ployzd() -> tuple[str, ...]:
    """Without the capabilities that it lacks under systemd, so that what works here works there."""
    without = ",".join(f"-{name.removeprefix('CAP_').lower()}" for name in capabilities_dropped())
    return ("setpriv", "--no-new-privs", f"--bounding-set={without}", "--", str(PROGRAMS / "ployzd"))


def programs_preloaded() -> AbstractContextManager[None]:
    """For whoever starts many of them: see `ployz.lab.preloaded`."""
    ployzctl = (str(PROGRAMS / "ployzctl"),)
    return serving({ployzd(): ["ployz.daemon"], ployzctl: ["ployz.cli.main", "ployz.cli.commands"]})


@frozen
class Machine:
    lab: Path
    """The lab's folder."""
    name: MachineId

    @property
    def folder(self) -> Path:
        return self.lab / self.name

    def find(self) -> Namespaces | None:
        """`None`: the machine is without power."""
        return namespaces.find(self.lab, self.name)

    def power_on(self) -> Namespaces:
        running = self.find()
        if running and not (running.is_furnished() and self.pool(running).alive()):
            # An `up` was killed half-way, or zfs-fuse died: its mounts stay, and answer nothing for ever.
            self.power_off()
            running = None
        self.folder.mkdir(exist_ok=True)
        return running or namespaces.start(self.lab, self.name)

    def power_off(self) -> None:
        """The power cut: nothing in it gets to end in order."""
        running = self.find()
        thaw(self._control_group)
        if running:
            running.kill()
        if KERNEL_DEVICE.exists():
            self._kernel_pool().export()
        remove_control_groups(self._control_group)

    def pool(self, running: Namespaces) -> Pool:
        if KERNEL_DEVICE.exists():
            return self._kernel_pool()
        return FusePool.of(running, self._pool_file, self._log("zfs-fuse"))

    def engine(self, running: Namespaces) -> Engine:
        return Engine.of(running, self._control_group, self._log("dockerd"))

    def node(self, running: Namespaces) -> Daemon:
        return Daemon(running, "ployzd", ployzd(), self._log("ployzd"))

    def bring_up_parts(self, running: Namespaces, pool_size: str) -> None:
        """ZFS and Docker, side by side."""
        parts = (lambda: self.pool(running).bring_up(pool_size), self.engine(running).bring_up)
        side_by_side(lambda bring_up: bring_up(), parts)

    def has_joined(self) -> bool:
        try:
            return "cluster" in tomllib.loads((self.folder / "etc/upper/ployz/config.toml").read_text())
        except FileNotFoundError:
            return False

    @property
    def _control_group(self) -> str:
        return f"{control_group(self.lab)}/{self.name}"

    @property
    def _pool_file(self) -> Path:
        return self.folder / "pool" / "tank.img"

    def _kernel_pool(self) -> KernelPool:
        return KernelPool(self._pool_file, f"{self.lab.name}-{self.name}")

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"
