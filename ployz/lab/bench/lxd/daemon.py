"""LXD on one machine of the lab: a daemon of its own, with its own data, and what it leaves behind removed.

Nothing of the host's LXD is used but its programs. The pool is btrfs on a sparse file: with it LXD sends only changes.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.errors import Code, Failed, Refused
from ployz.lab.daemon import SEARCH_PATH, Daemon
from ployz.lab.engine import remove_control_groups
from ployz.lab.machine import Machine, control_group
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import run

DATA: Final = Path("/var/lib/lxd")
"""The same on every machine, so that a container's files are."""
PORT: Final = 8443
POOL: Final = "default"
POOL_SIZE: Final = "8GiB"
READY_S: Final = 60
RECIPE_S: Final = 300
STOP_S: Final = 20
SHUTDOWN_S: Final = 10
ENVIRONMENT: Final = {"LXD_DIR": str(DATA), "LXD_CONF": "/run/lxc", "HOME": "/root", "PATH": SEARCH_PATH}
"""Of the daemon and of its clients. With LXD_DIR its logs and its cache lie there, too."""


def refusal() -> Refused | None:
    """Why LXD cannot run on this host; `None`: it can."""
    for program in ("lxd", "lxc", "mkfs.btrfs"):
        if shutil.which(program, path=SEARCH_PATH) is None:
            return Refused(Code.MISSING_PART, f"{program} is not installed", "`bin/setup lxd` installs it.")
    with suppress(Failed):  # built in, or no modprobe: the next line tells
        run(["modprobe", "--quiet", "btrfs"])
    if "btrfs" not in Path("/proc/filesystems").read_text().split():
        return Refused(Code.MISSING_PART, "the kernel has no btrfs", "LXD's other storage cannot send changes.")
    return None


@frozen
class Lxd:
    """Trusts whoever knows the password."""

    namespaces: Namespaces
    daemon: Daemon
    folder: Path
    """What `DATA` is on the host: LXD's files cannot lie on an overlay."""
    address: str
    """The machine's own on the underlay."""

    @classmethod
    def of(cls, machine: Machine, running: Namespaces, address: str) -> Lxd:
        daemon = Daemon(running, "lxd", ["lxd"], machine.folder / "logs/lxd.log", ENVIRONMENT)
        return cls(running, daemon, machine.folder / "lxd", address)

    @property
    def control_group(self) -> str:
        """Of the containers. The same on every machine, because a container takes its settings along."""
        return f"{control_group(self.namespaces.folder)}/lxd"

    def up(self, password: str) -> None:
        self.folder.mkdir(mode=0o711)
        self.namespaces.run(["mkdir", "-p", str(DATA)])
        self.namespaces.run(["mount", "--bind", str(self.folder), str(DATA)])
        self.daemon.start()
        self.run(f"lxd waitready --timeout {READY_S}", deadline_s=READY_S + 5)
        self.run(
            f"lxc --quiet storage create {POOL} btrfs size={POOL_SIZE}\n"
            f"lxc --quiet profile device add default root disk path=/ pool={POOL}\n"
            f"lxc --quiet config set core.trust_password {password}\n"
            f"lxc --quiet config set core.https_address {self.address}:{PORT}"
        )

    def trust(self, name: str, other: Lxd, password: str) -> None:
        """From now on `name:` in a command is the other daemon."""
        self.run(
            f"lxc --quiet remote add {name} https://{other.address}:{PORT} --accept-certificate --password {password}"
        )

    def run(self, script: str, *, deadline_s: float = RECIPE_S) -> str:
        """What the commands printed. `Failed` at the first that fails."""
        assignments = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return self.namespaces.run(["env", *assignments, "sh", "-ec", script], deadline_s=deadline_s)

    def down(self) -> None:
        """With its containers. In whatever condition it is; what resists dies with the machine."""
        if self.daemon.alive():
            with suppress(Failed):
                self.run("lxc --quiet stop --all --force", deadline_s=STOP_S)
            try:
                self.run(f"lxd shutdown --timeout {SHUTDOWN_S}", deadline_s=SHUTDOWN_S + 5)
            except Failed:  # it waits for a copy that was interrupted
                self.daemon.kill()
        with suppress(Failed):  # it was never mounted
            self.namespaces.run(["umount", "--recursive", "--lazy", str(DATA)])
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_control_groups(self) -> None:
        """Once every daemon is down.

        They lie below those of the machine's first process, which need not be at the top, where Docker's are.
        """
        lines = Path(f"/proc/{self.namespaces.pid}/cgroup").read_text().splitlines()
        for base in {line.split(":", 2)[2].strip("/") for line in lines}:
            if base:
                remove_control_groups(f"{base}/{control_group(self.namespaces.folder)}")
            else:
                remove_control_groups(self.control_group)
