"""The lab as the crash cases use it: one small service that moves to and fro, and daemons that are armed and killed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

from attrs import evolve, frozen

from ployz import killpoints
from ployz.actors.messages.gateway import GatewayRow, ShowGateways
from ployz.actors.messages.machine import ListMachines
from ployz.actors.messages.operations import ListDeploys
from ployz.actors.messages.services import ShowService, ShowVolume, SlotRow
from ployz.clock import STEP_VARIABLE
from ployz.errors import PloyzError
from ployz.ids import MachineId, ServiceRef, VolumeRef
from ployz.lab.daemon import Daemon
from ployz.lab.lab import Lab
from ployz.lab.machine import PROGRAMS
from ployz.lab.operator import Operator, Payload
from ployz.lab.preloaded import programs as preloaded
from ployz.lab.programs import failed, wait_until
from ployz.lab.switch import UPLINK
from ployz.plan import names
from ployz.projections.operations import Status
from ployz.surroundings import SOCKET_PATH
from ployz.wire import local
from ployz.wire.message import Message

NAMESPACE: Final = "crash"
SERVICE: Final = f"{NAMESPACE}/web"
VOLUME: Final = f"{NAMESPACE}/data"
HOSTNAME: Final = "crash.example"
MANIFEST: Final = f"""
namespace = "{NAMESPACE}"
[[volumes]]
name = "data"
[[services]]
name = "web"
service_ports = [{{ name = "http", container_port = 8080 }}]
routes = [{{ http = {{ service_port = "http", hostnames = ["{HOSTNAME}"] }} }}]
readiness = {{ http = {{ service_port = "http", path = "/healthz" }}, interval = "100ms", retries = 100 }}
[services.template]
image = "web:latest"
mounts = [{{ source = {{ volume = "data" }}, target = "/data" }}]
"""
NODE_S: Final = 30.0
COMMAND_S: Final = 60
ANSWER_S: Final = 5.0
_SOCKET: Final = SOCKET_PATH.relative_to("/")
_CLOCK_STEP: Final = "run/lab/clock-step-ms"


R = TypeVar("R")


@frozen
class Stage:
    lab: Lab

    @property
    def machines(self) -> Sequence[str]:
        return list(self.lab.state().machines)

    def prepare(self) -> None:
        """The service, and every machine a gateway to it: a hold has to outlive them all."""
        operator = Operator(self.lab)
        for machine in self.machines:
            operator.ask("machine", "set", machine, "gateway=on")
        operator.deploy(MANIFEST)

    # ------------------------------------------------------------ asking

    def ask(self, machine: str, *arguments: str) -> Payload:
        """With ployzctl, as an operator."""
        return Operator(self.lab, machine).ask(*arguments)

    def ask_node(self, machine: str, to: str, message: Message[R]) -> R:
        """The same without a program, for what is asked again and again."""
        return local.ask(self.lab.running(machine).root / _SOCKET, to, message, timeout_s=ANSWER_S)

    def slot(self, machine: str) -> SlotRow:
        """Of the service, as the facts on that machine place it."""
        (slot,) = self.ask_node(machine, "services", ShowService(ServiceRef.parse(SERVICE))).slots
        return slot

    def owner(self, machine: str) -> str:
        return self.ask_node(machine, "services", ShowVolume(VolumeRef.parse(VOLUME))).row.owner

    def gateway(self, machine: str) -> GatewayRow:
        (row,) = self.ask_node(machine, "gateway", ShowGateways(MachineId(machine))).gateways
        return row

    def undecided(self, machine: str) -> str | None:
        newest = self.ask_node(machine, "operations", ListDeploys(1)).deploys
        return next((each.operation_id for each in newest if each.status == Status.UNDECIDED), None)

    def inside(self, machine: str, *argv: str) -> str:
        return self.lab.running(machine).run(argv, deadline_s=COMMAND_S)

    def pool(self, machine: str) -> str:
        return self.lab.machine(machine).pool(self.lab.running(machine)).name

    def resources(self, machine: str) -> tuple[int, float]:
        """Of its ployzd: open files, and resident memory in MiB."""
        node = self.node(machine)
        if (pid := node.pid()) is None:
            raise failed(f"{machine}: ployzd does not run")
        process = node.namespaces.root / "proc" / str(pid)
        resident = re.search(r"^VmRSS:\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
        return len(list((process / "fd").iterdir())), int(resident[1]) / 1024 if resident else 0.0

    def sent_bytes(self, machine: str) -> int:
        """By its link to the others, since it has power."""
        lines = Path(f"/proc/{self.lab.running(machine).pid}/net/dev").read_text().splitlines()
        (fields,) = [line.split(":")[1].split() for line in lines if line.strip().startswith(f"{UPLINK}:")]
        return int(fields[8])

    def log_of(self, machine: str) -> str:
        return self.node(machine).log.read_text(errors="replace")

    # ------------------------------------------------------------ ployzd

    def node(self, machine: str, kill_point: str = "") -> Daemon:
        """Its wall clock can be stepped, by `clock_step`."""
        node = self.lab.machine(machine).node(self.lab.running(machine))
        return evolve(node, environment={killpoints.VARIABLE: kill_point, STEP_VARIABLE: f"/{_CLOCK_STEP}"})

    def clock_step(self, machine: str) -> Path:
        return self.lab.running(machine).root / _CLOCK_STEP

    def restart(self, machine: str, kill_point: str = "") -> None:
        """Returns when ployzd answers. One that dies meanwhile has reached its point."""
        node = self.node(machine, kill_point)
        node.kill()
        node.start()

        def answers() -> bool:
            if not node.alive():
                return True
            try:
                self.ask_node(machine, "operations", ListDeploys(1))
            except PloyzError:
                return False
            return True

        wait_until(f"{machine}: ployzd", answers, deadline_s=NODE_S)

    def wait_until_reached(self) -> None:
        """Each by each: a machine pauses before it calls again one that was away."""

        def reached(machine: str) -> bool:
            try:
                found = self.ask_node(machine, "machine", ListMachines())
            except PloyzError:
                return False
            return all(each.reachable for each in found.machines)

        everybody = self.machines
        wait_until("all machines reach each other", lambda: all(map(reached, everybody)), deadline_s=NODE_S)

    def is_stopped(self, machine: str) -> bool:
        """At a point where it was to stop."""
        node = self.node(machine)
        if (pid := node.pid()) is None:
            return False
        stat = (node.namespaces.root / "proc" / str(pid) / "stat").read_text()
        return stat.rpartition(") ")[2].startswith("T")

    def go_on(self, machine: str) -> None:
        """If it is there, and was stopped."""
        if self.lab.machine(machine).find() is not None and (pid := self.node(machine).pid()) is not None:
            self.inside(machine, "kill", "-CONT", str(pid))

    # ------------------------------------------------------------ migrating

    def migrate(self, coordinator: str, target: str) -> subprocess.Popen[str]:
        argv = [str(PROGRAMS / "ployzctl"), "--json", "migrate", "apply", SERVICE, "--to", target]
        running, place = self.lab.running(coordinator), preloaded.find(argv[:1])
        return subprocess.Popen(
            preloaded.stand_in(place, running.pid, argv) if place else running.enter(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def write_ballast(self, mebibytes: int) -> None:
        """New data on the volume, which the next move has to send."""
        machine = self.slot(self.machines[0]).machine
        (container,) = self.inside(
            machine, "docker", "ps", "-q", "--filter", f"label={names.LABEL_NAMESPACE}={NAMESPACE}"
        ).split()
        write = f"dd if=/dev/urandom of=/data/ballast bs=1M count={mebibytes} conv=fsync 2>/dev/null"
        self.inside(machine, "docker", "exec", container, "sh", "-c", write)
