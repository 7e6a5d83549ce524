"""A machine's Docker: its own dockerd, with its own data, socket, and control groups below the lab's."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from pathlib import Path

from attrs import frozen

from ployz.host.docker.blocking import UnixConnection
from ployz.lab.daemon import Daemon
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import wait_until

READY_S = 30
ANSWER_S = 5
CONTROL_GROUPS = Path("/sys/fs/cgroup")
CONTROL_GROUPS_EMPTY_S = 5


@frozen
class Engine:
    namespaces: Namespaces
    daemon: Daemon
    control_group: str

    @classmethod
    def of(cls, namespaces: Namespaces, control_group: str, log: Path) -> Engine:
        return cls(namespaces, Daemon(namespaces, "dockerd", ["dockerd"], log), control_group)

    def bring_up(self) -> None:
        """Unless it runs; returns when it answers."""
        if not self.daemon.alive():
            settings = self.namespaces.root / "etc/docker/daemon.json"
            settings.parent.mkdir(exist_ok=True)
            settings.write_text(json.dumps(self._settings(), indent=2) + "\n")
            self.daemon.start()

        def answers() -> bool:
            self.daemon.require_alive()
            return self.answers()

        wait_until(f"{self.namespaces.who}: dockerd", answers, deadline_s=READY_S)

    def _settings(self) -> dict[str, object]:
        return {
            "live-restore": True,
            # Nothing in a machine plays systemd's part, and several engines share the host's groups.
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": f"/{self.control_group}",
        }

    def answers(self) -> bool:
        connection = UnixConnection(self.namespaces.root / "run/docker.sock", timeout_s=ANSWER_S)
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def thaw(group: str) -> None:
    """Frozen containers (`docker pause`) could not die. Version 2 of control groups kills them frozen."""
    for state in (CONTROL_GROUPS / "freezer" / group).glob("**/freezer.state"):
        with contextlib.suppress(OSError):  # its container ended in this very moment
            state.write_text("THAWED")


def remove_control_groups(group: str) -> None:
    """What the containers of a killed machine leave in every hierarchy.

    A group empties a moment after its last process.
    """
    for root in (CONTROL_GROUPS, *CONTROL_GROUPS.iterdir()):
        end_s = time.monotonic() + CONTROL_GROUPS_EMPTY_S
        while (root / group).is_dir() and time.monotonic() < end_s:
            for folder, _, _ in os.walk(root / group, topdown=False):
                with contextlib.suppress(OSError):  # not empty yet: the next round, or the deadline
                    Path(folder).rmdir()
