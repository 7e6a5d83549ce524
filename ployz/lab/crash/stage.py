"""The lab as the crash cases use it: one small service that moves to and fro, and daemons that are armed and killed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from ployz import killpoints
from ployz.errors import Failed
from ployz.lab.daemon import Daemon
from ployz.lab.lab import Lab
from ployz.lab.machine import PROGRAMS
from ployz.lab.operator import Operator, Payload
from ployz.lab.programs import wait_until

NAMESPACE: Final = "crash"
SERVICE: Final = f"{NAMESPACE}/web"
VOLUME: Final = f"{NAMESPACE}/data"
MANIFEST: Final = f"""
namespace = "{NAMESPACE}"
[[volumes]]
name = "data"
[[services]]
name = "web"
service_ports = [{{ name = "http", container_port = 8080 }}]
readiness = {{ http = {{ service_port = "http", path = "/healthz" }}, interval = "100ms", retries = 100 }}
[services.template]
image = "web:latest"
mounts = [{{ source = {{ volume = "data" }}, target = "/data" }}]
"""
NODE_S: Final = 30.0
COMMAND_S: Final = 60


@frozen
class Stage:
    lab: Lab

    @property
    def machines(self) -> Sequence[str]:
        return list(self.lab.state().machines)

    def ask(self, machine: str, *arguments: str) -> Payload:
        return Operator(self.lab, machine).ask(*arguments)

    def slot(self, machine: str) -> Payload:
        """Of the service, as the facts on that machine place it."""
        (slot,) = self.ask(machine, "service", "show", SERVICE)["slots"]
        found: Payload = slot
        return found

    def inside(self, machine: str, *argv: str) -> str:
        return self.lab.running(machine).run(argv, deadline_s=COMMAND_S)

    def node(self, machine: str, kill_point: str = "") -> Daemon:
        node = self.lab.machine(machine).node(self.lab.running(machine))
        return evolve(node, environment={killpoints.VARIABLE: kill_point}) if kill_point else node

    def restart(self, machine: str, kill_point: str = "") -> None:
        """Returns when ployzd answers. One that dies meanwhile has reached its point."""
        node = self.node(machine, kill_point)
        node.kill()
        node.start()

        def answers() -> bool:
            if not node.alive():
                return True
            try:
                self.ask(machine, "machine", "ls")
            except Failed:
                return False
            return True

        wait_until(f"{machine}: ployzd", answers, deadline_s=NODE_S)

    def wait_until_reached(self, coordinator: str) -> None:
        """All machines, by the one that is to coordinate: it pauses before it calls again one that was away."""

        def reached() -> bool:
            return all(each["reachable"] for each in self.ask(coordinator, "machine", "ls")["machines"])

        wait_until(f"{coordinator} reaches all machines", reached, deadline_s=NODE_S)

    def log_of(self, machine: str) -> str:
        return self.node(machine).log.read_text(errors="replace")

    def migrate(self, coordinator: str, target: str) -> subprocess.Popen[str]:
        argv = [str(PROGRAMS / "ployzctl"), "--json", "migrate", "apply", SERVICE, "--to", target]
        return subprocess.Popen(
            self.lab.running(coordinator).enter(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
