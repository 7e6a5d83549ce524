"""A migration by hand, as an expert would do it: the floor that the product's cut-over is measured against.

Warm rounds while the service runs; then docker stop, snapshot, incremental send, mount, docker start. No plan, no lock,
no vote, no check, no address: nothing that could be left out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from ipaddress import ip_network
from typing import Final

from attrs import define, field, frozen

from ployz.lab.bench.gaps import WriterLog
from ployz.lab.bench.raw import RawPipe, raw_pipe
from ployz.lab.bench.stage import Stage
from ployz.lab.namespaces import Namespaces
from ployz.lab.pool import in_turn
from ployz.plan.addresses import BRIDGE_NETWORK_NAME

CONTAINER: Final = "floor"
MOUNTPOINT: Final = "/var/lib/floor"
WARM_ROUNDS: Final = 3
LAST_BUT = -20
"""From the end of each subnet: an address that the product has not given out."""


@frozen
class HandMove:
    cutover_ms: float
    """From the command that stops the service to the end of the one that starts it."""
    gap_ms: float
    """The longest that nothing was written, by the writer's own log."""


@define
class Floor:
    stage: Stage
    mib: int
    _addresses: dict[str, str] = field(init=False)
    """Each machine's own on the overlay."""
    _snapshots: int = field(default=0, init=False)
    _base: str | None = field(default=None, init=False)
    """The last snapshot that both sides have."""

    def set_up(self, source: str, machines: Sequence[str]) -> None:
        """A writer with a filled volume on `source`; its container, not started, everywhere else."""
        self._addresses = self.stage.overlay_addresses()
        at = self.stage.lab.running(source)
        at.run(["zfs", "create", "-o", "canmount=noauto", "-o", f"mountpoint={MOUNTPOINT}", self._dataset(source)])
        at.run(in_turn(["zfs", "mount", self._dataset(source)]))
        self.stage.fill(self.mib)(at, MOUNTPOINT)
        for machine in machines:
            self._create_container(self.stage.lab.running(machine))
        at.run(["docker", "start", CONTAINER])

    def pause(self, machine: str) -> None:
        self.stage.lab.running(machine).run(["docker", "pause", CONTAINER])

    def unpause(self, machine: str) -> None:
        self.stage.lab.running(machine).run(["docker", "unpause", CONTAINER])

    def move(self, source: str, target: str) -> HandMove:
        log = WriterLog.at_its_end(self.stage.lab.running(source), f"{MOUNTPOINT}/log")
        self._warm(source, target)
        cutover_ms = self._cut_over(source, target)
        gap_ms = log.longest_gap_ms(self.stage.lab.running(target))
        self._clean_up(source, target)
        return HandMove(cutover_ms, gap_ms)

    def _warm(self, source: str, target: str) -> None:
        for number in range(WARM_ROUNDS):
            if number == 0 and self._base is not None:
                self.stage.lab.running(target).run(["zfs", "rollback", "-r", f"{self._dataset(target)}@{self._base}"])
            snapshot = self._next_snapshot()
            self.stage.lab.running(source).run(["zfs", "snapshot", f"{self._dataset(source)}@{snapshot}"])
            with self._pipe(source, target, snapshot) as pipe:
                pipe.run()
            if self._base is None:
                for setting in ("canmount=noauto", f"mountpoint={MOUNTPOINT}"):
                    self.stage.lab.running(target).run(["zfs", "set", setting, self._dataset(target)])
            self._base = snapshot

    def _cut_over(self, source: str, target: str) -> float:
        snapshot = self._next_snapshot()
        here, there = self.stage.lab.running(source), self.stage.lab.running(target)
        with self._pipe(source, target, snapshot) as pipe:
            began_s = time.monotonic()
            here.run(["docker", "stop", CONTAINER])
            here.run(["zfs", "snapshot", f"{self._dataset(source)}@{snapshot}"])
            pipe.run()
            there.run(in_turn(["zfs", "mount", self._dataset(target)]))
            there.run(["docker", "start", CONTAINER])
            ended_s = time.monotonic()
        self._base = snapshot
        return (ended_s - began_s) * 1000

    def _clean_up(self, source: str, target: str) -> None:
        """Of every snapshot but the base for the way back."""
        self.stage.lab.running(source).run(["zfs", "unmount", self._dataset(source)])
        for machine in (source, target):
            at, dataset = self.stage.lab.running(machine), self._dataset(machine)
            for name in at.run(["zfs", "list", "-H", "-o", "name", "-t", "snapshot", "-r", dataset]).split():
                if name != f"{dataset}@{self._base}":
                    at.run(["zfs", "destroy", name])

    def _pipe(self, source: str, target: str, snapshot: str) -> AbstractContextManager[RawPipe]:
        since = ["-i", f"@{self._base}"] if self._base else []
        return raw_pipe(
            self.stage.lab.running(source),
            ["zfs", "send", *since, f"{self._dataset(source)}@{snapshot}"],
            self.stage.lab.running(target),
            ["zfs", "receive", self._dataset(target)],
            self._addresses[target],
        )

    def _next_snapshot(self) -> str:
        self._snapshots += 1
        return f"round-{self._snapshots}"

    def _dataset(self, machine: str) -> str:
        return f"{self.stage.pool(machine)}/floor"

    def _create_container(self, at: Namespaces) -> None:
        at.run(["mkdir", "-p", MOUNTPOINT])
        subnets = at.run(
            ["docker", "network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", BRIDGE_NETWORK_NAME]
        ).split()
        ipv4, ipv6 = sorted((ip_network(each) for each in subnets), key=lambda each: each.version)
        fixed = ["--network", BRIDGE_NETWORK_NAME, "--ip", str(ipv4[LAST_BUT]), "--ip6", str(ipv6[LAST_BUT])]
        mount = ["--mount", f"type=bind,source={MOUNTPOINT},target=/data"]
        at.run(["docker", "create", "--name", CONTAINER, *fixed, *mount, "writer:latest"])
