"""What containers do in the simulated cluster: they write to their volumes, and nobody may write anywhere else.

Every start appends a line to each volume that the container sees, so that a volume tells where it has been.
"""

from __future__ import annotations

from attrs import define, field

from ployz.host.fakes.docker import FakeDocker
from ployz.host.fakes.zfs import FakeZfs
from ployz.host.ports import ContainerSpec, Holder
from ployz.ids import MachineId

STARTS = "starts"
"""The file on each volume that has a line for every start: the machine's name."""


@define(eq=False)
class World:
    """The invariants about data, looked at whenever a container starts or ends."""

    violations: list[str] = field(factory=list, init=False)
    _writers: dict[str, set[tuple[MachineId, str]]] = field(factory=dict, init=False)
    """Dataset -> the (machine, container) that can write to it now."""

    def attach(self, machine: MachineId, docker: FakeDocker, zfs: FakeZfs) -> None:
        docker.on_start = lambda spec: self._started(machine, docker, zfs, spec)
        docker.on_end = lambda spec: self._ended(machine, docker, zfs, spec)

    def writers(self, dataset: str) -> set[tuple[MachineId, str]]:
        return set(self._writers.get(dataset, ()))

    def _started(self, machine: MachineId, docker: FakeDocker, zfs: FakeZfs, spec: ContainerSpec) -> None:
        for mount in spec.mounts:
            if mount.source.startswith("/run/"):
                continue  # a secret, in memory: no data
            dataset = zfs.mounted(mount.source)
            if dataset is None:
                self.violations.append(f"{machine}: {spec.name} started on an empty {mount.source}")
                continue
            writers = self._writers.setdefault(dataset, set())
            writers.add((machine, spec.name))
            if len({each for each, _ in writers}) > 1:
                self.violations.append(f"{dataset} has writers on several machines: {sorted(writers)}")
            self._hold(machine, docker, zfs, dataset)
            self._sign(machine, zfs, dataset)

    def _sign(self, machine: MachineId, zfs: FakeZfs, dataset: str) -> None:
        lines = zfs.files(dataset).get(STARTS, b"")
        zfs.write(dataset, STARTS, lines + f"{machine}\n".encode())

    def _ended(self, machine: MachineId, docker: FakeDocker, zfs: FakeZfs, spec: ContainerSpec) -> None:
        for dataset, writers in self._writers.items():
            if (machine, spec.name) in writers:
                writers.discard((machine, spec.name))
                self._hold(machine, docker, zfs, dataset)

    def _hold(self, machine: MachineId, docker: FakeDocker, zfs: FakeZfs, dataset: str) -> None:
        """The pool knows the processes that keep the dataset busy."""
        zfs.let_go(dataset)
        for index, (where, container) in enumerate(sorted(self._writers[dataset])):
            if where == machine:
                zfs.use(dataset, Holder(1000 + index, "writer", docker.id_of(container), "has the file /log open"))
