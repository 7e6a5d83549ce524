"""What clients do all the time: they write records to the service, and remember what it acknowledged.

A client sits on every machine, and reaches the service by its address, as that machine's overlay leads it. Once in a
while the service writes a record of its own too, which nobody was told of.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from ployz.errors import PloyzError
from ployz.host.ports import ContainerSpec
from ployz.ids import MachineId
from tests.cluster.cluster import Cluster
from tests.cluster.machine import Machine
from tests.sim.checks.records import RECORD_BYTES, Records

EVERY: Final = 5
"""Effects between two records."""
RECORDS: Final = "records"
"""The file on each volume."""


@define(eq=False)
class Clients:
    cluster: Cluster
    written: dict[str, Records] = field(factory=dict, init=False)
    """By dataset."""
    count: int = field(default=0, init=False)
    _turn: int = field(default=0, init=False)

    def step(self) -> None:
        self._turn += 1
        if self._turn % EVERY:
            return
        machines = list(self.cluster.machines.values())
        client = machines[self._turn // EVERY % len(machines)]
        for machine in machines:
            for spec in machine.docker.running():
                if spec.mounts and self._write(machine, spec) and self._reached_by(client, machine, spec):
                    self._acknowledge(machine, spec)

    def _write(self, machine: Machine, spec: ContainerSpec) -> bool:
        """To every volume that it mounts: fsynced when this returns."""
        self.count += 1
        record = self.count.to_bytes(RECORD_BYTES, "big")
        for dataset in _datasets(machine, spec):
            content = machine.zfs._sets[dataset].files.get(RECORDS, b"")
            try:
                machine.zfs.write(dataset, RECORDS, content + record)
            except PloyzError:
                return False
        return True

    def _acknowledge(self, machine: Machine, spec: ContainerSpec) -> None:
        for dataset in _datasets(machine, spec):
            records = self.written.setdefault(dataset, Records())
            records.acknowledge(self.count.to_bytes(RECORD_BYTES, "big"))

    def _reached_by(self, client: Machine, machine: Machine, spec: ContainerSpec) -> bool:
        """By the overlays alone: they stay when ployzd is down."""
        if not client.overlay.applied or not machine.overlay.applied:
            return False
        there, here = machine.overlay.applied[-1], client.overlay.applied[-1]
        if spec.ipv4 not in there.local or spec.ipv4 in there.closed:
            return False
        if client is machine:
            return True
        leads = any(peer.public_key == machine.key and spec.ipv4 in peer.addresses for peer in here.peers)
        return leads and self._link(client.name, machine.name)

    def _link(self, a: MachineId, b: MachineId) -> bool:
        network = self.cluster.network
        return network.reaches(a, b) and network.reaches(b, a)


def _datasets(machine: Machine, spec: ContainerSpec) -> list[str]:
    found = (machine.zfs.mounted(mount.source) for mount in spec.mounts)
    return [each for each in found if each is not None]
