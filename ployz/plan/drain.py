"""A drain as a plan: what leaves a machine together, where each goes, and the manifests that do it. Pure.

A departure is one operation. Services that share volumes go together, to the machine that is best for them; what needs
no volume leaves with one operation for each namespace, each replica to where a new one would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import Factory, define, evolve, field, frozen

from ployz.errors import Code, Problem, Refused
from ployz.events.types import VolumePlacement
from ployz.ids import MachineId, Namespace, ServiceName, ServiceRef, SlotRef, VolumeName, VolumeRef
from ployz.manifest import Manifest
from ployz.manifest.model import BindSource, Global, Intent, Leave, Protocol, Service, ServiceMove, VolumeMove
from ployz.plan import committed
from ployz.plan.assign import may_leave
from ployz.plan.reports import Answers, Reports
from ployz.plan.space import usable_bytes
from ployz.plan.volumes import base_of_move
from ployz.projections.view import ClusterView


@frozen
class Departure:
    """What one operation takes away from the machine."""

    namespace: Namespace
    services: tuple[ServiceName, ...]
    volumes: tuple[VolumeName, ...]
    """Empty: its services need none, and those that are global end there."""
    to_machines: tuple[MachineId, ...]
    """With volumes one machine; else those among which its replicas are spread, or all if it is empty."""
    bandwidth_bytes_s: int | None = None
    """What its volumes may be sent with, all together. None: what the machine's own limit allows."""
    gone: bool = False
    """The machine does not answer, and is not asked."""
    alone: bool = False
    """Without volumes: only these services leave, and not all of the namespace."""

    @property
    def subject(self) -> str:
        """`production/db+cache`; of a volume that nobody mounts, its name."""
        return f"{self.namespace}/{'+'.join(self.services or self.volumes)}"


def manifest_of(view: ClusterView, machine: MachineId, departure: Departure) -> Manifest:
    """As the namespace is committed now, with the intent. `Refused` (UNKNOWN_SERVICE): it is not there any more."""
    manifest = committed.of_namespace(view, departure.namespace)
    missing = [each for each in departure.services if manifest is None or manifest.service(each) is None]
    if manifest is None or missing:
        gone = ServiceRef(departure.namespace, missing[0]) if missing else departure.namespace
        raise Refused(Code.UNKNOWN_SERVICE, f"{gone} was removed meanwhile", "Give the same command again.")
    if not departure.volumes:
        leaving = departure.services if departure.alone else ()
        leave = Leave(machine, departure.to_machines, leaving, gone=departure.gone)
        return evolve(manifest, intent=Intent(leave=leave))
    (target,) = departure.to_machines
    return evolve(
        manifest,
        intent=Intent(
            volumes=tuple(VolumeMove(each, machine, target) for each in departure.volumes),
            services=tuple(ServiceMove(each, target) for each in departure.services),
            bandwidth_bytes_s=departure.bandwidth_bytes_s,
        ),
    )


@frozen
class Drain:
    departures: tuple[Departure, ...]
    """In the order in which they are begun: the largest first, what needs no volume last."""
    stuck: tuple[Problem, ...]
    """What no operation can take away."""


def plan_drain(
    view: ClusterView, machine: MachineId, targets: Sequence[MachineId], reports: Reports, *, chosen: bool
) -> Drain:
    """`targets`: active machines, in order of their numbers. `chosen`: an operator named them.

    `reports`: of the machine and the targets, about every volume that the machine owns. Deterministic.
    """
    planner = _Planner(view, machine, targets, Answers(reports))
    found = sorted(planner.groups(), key=lambda each: (-each.size_bytes, each.namespace, each.services))
    moved = [planner.place(each) for each in found if planner.may_run(each)]
    left = planner.leaving(tuple(targets) if chosen else ())
    return Drain((*moved, *left), (*planner.pinned(found), *planner.undeclared(), *planner.bound()))


def plan_gone(view: ClusterView, machine: MachineId, targets: Sequence[MachineId], *, chosen: bool) -> Drain:
    """Of a machine that does not answer: what has no data there is made elsewhere, and the rest is named."""
    planner = _Planner(view, machine, targets, Answers({}))
    departures = [
        evolve(each, gone=True) for each in planner.leaving(tuple(targets) if chosen else ()) if _may_leave(view, each)
    ]
    return Drain(tuple(departures), (*planner.bound(), *planner.lost()))


def _may_leave(view: ClusterView, departure: Departure) -> bool:
    manifest = committed.of_namespace(view, departure.namespace)
    return manifest is not None and any(
        may_leave(each) for each in manifest.services if each.name in departure.services
    )


@frozen
class _Group:
    """Services that share volumes, and the volumes."""

    namespace: Namespace
    services: tuple[ServiceName, ...]
    volumes: tuple[VolumeName, ...]
    size_bytes: int


ROOMY: Final = 0.5
"""Of the space that the roomiest machine has left: with as much, the number of slots decides."""

Port = tuple[MachineId, int, Protocol]


@define
class _Planner:
    view: ClusterView
    machine: MachineId
    targets: Sequence[MachineId]
    answers: Answers
    _room: dict[MachineId, int] = field(factory=dict, init=False)
    """Bytes that each target can still take."""
    _load: dict[MachineId, int] = field(factory=dict, init=False)
    _ports: set[Port] = field(factory=set, init=False)
    _numbers: dict[MachineId, int] = field(
        default=Factory(lambda self: {each: at for at, each in enumerate(self.targets)}, takes_self=True), init=False
    )

    def __attrs_post_init__(self) -> None:
        for target in self.targets:
            report = self.answers.machine(target)
            self._room[target] = usable_bytes(report) if report else -1
        for ref, slot in self.view.placement.slots():
            self._load[slot.machine] = self._load.get(slot.machine, 0) + 1
            self._ports |= _ports(committed.service(self.view, ref.service), slot.machine)

    # ------------------------------------------------------------ what leaves together

    def groups(self) -> Iterator[_Group]:
        for namespace in sorted({each.volume.namespace for each in self._owned()}):
            left = {each.volume.volume for each in self._owned() if each.volume.namespace == namespace}
            while left:
                services, volumes = self._connected(namespace, min(left))
                left -= volumes
                if services or self._is_declared(VolumeRef(namespace, min(volumes))):
                    refs = [VolumeRef(namespace, each) for each in sorted(volumes)]
                    size_bytes = sum(self._size_bytes(each) for each in refs)
                    yield _Group(namespace, tuple(sorted(services)), tuple(sorted(volumes)), size_bytes)

    def _connected(self, namespace: Namespace, volume: VolumeName) -> tuple[set[ServiceName], set[VolumeName]]:
        services, volumes = set[ServiceName](), {volume}
        mounted = {each.name: set(each.template.volumes) for each in self._services(namespace)}
        while more := {name for name, its in mounted.items() if its & volumes} - services:
            services |= more
            volumes |= {each for name in more for each in mounted[name]}
        return services, volumes

    def leaving(self, to_machines: tuple[MachineId, ...]) -> list[Departure]:
        """What needs no volume and no folder of the machine: one operation a namespace."""
        found: dict[Namespace, set[ServiceName]] = {}
        for ref, service in self._here():
            if may_leave(service) or (isinstance(service.placement, Global) and not service.template.volumes):
                found.setdefault(ref.service.namespace, set()).add(service.name)
        return [
            Departure(namespace, tuple(sorted(services)), (), to_machines)
            for namespace, services in sorted(found.items())
        ]

    def _here(self) -> Iterator[tuple[SlotRef, Service]]:
        for ref, slot in self.view.placement.slots():
            service = committed.service(self.view, ref.service)
            if slot.machine == self.machine and service is not None:
                yield ref, service

    def bound(self) -> Iterator[Problem]:
        """Replicas that bind folders of the machine: no operation takes these along."""
        for ref, service in self._here():
            binds = [each.source.path for each in service.template.mounts if isinstance(each.source, BindSource)]
            if binds and not service.template.volumes and not isinstance(service.placement, Global):
                yield Problem(
                    Code.BIND_MOUNT,
                    f"{ref} binds {', '.join(binds)} of {self.machine}: a folder of the host does not move",
                    "Put that data into a volume, or let the service begin elsewhere: choose its machines with `on` in "
                    "its manifest, and deploy that.",
                )

    def lost(self) -> Iterator[Problem]:
        for each in self._owned():
            yield Problem(
                Code.OWNED_ELSEWHERE,
                f"volume {each.volume} is owned by {self.machine}, which does not answer: only it can give it away",
                f"Bring it back. If it is gone for good: ployzctl volume takeover {each.volume} --to MACHINE",
            )

    def may_run(self, group: _Group) -> list[MachineId]:
        """The targets that the manifests of all its services allow."""
        services = self._of_group(group)
        return [each for each in self.targets if all(not service.on or each in service.on for service in services)]

    def pinned(self, groups: Sequence[_Group]) -> Iterator[Problem]:
        for group in groups:
            if not self.may_run(group):
                restricted = [each for each in self._of_group(group) if each.on]
                where = "; ".join(f"{each.name} on {', '.join(each.on)} only" for each in restricted)
                subject = f"{group.namespace}/{'+'.join(group.services)}"
                yield Problem(
                    Code.NOT_MOVABLE,
                    f"{subject} may go to none of {', '.join(self.targets)}: {where}",
                    "Add a machine to `on` in its manifest, and deploy that.",
                )

    def undeclared(self) -> Iterator[Problem]:
        for each in self._owned():
            if not self._is_declared(each.volume):
                yield Problem(
                    Code.NOT_MOVABLE,
                    f"volume {each.volume} is in no manifest any more, so no deploy moves it",
                    f"Declare it again in the manifest of {each.volume.namespace}, or destroy it: "
                    f"ployzctl volume rm {each.volume}.",
                )

    # ------------------------------------------------------------ where to

    def place(self, group: _Group) -> Departure:
        """Where it fits and may be; there where an older copy makes the send small; then, of those that have space left
        as compared with the roomiest, where the fewest are.
        """
        services = self._of_group(group)
        target = min(self.may_run(group), key=lambda each: self._rank(each, group, services))
        self._room[target] -= group.size_bytes
        self._load[target] = self._load.get(target, 0) + len(services)
        for service in services:
            self._ports |= _ports(service, target)
        return Departure(group.namespace, group.services, group.volumes, (target,))

    def _rank(self, target: MachineId, group: _Group, services: Sequence[Service]) -> tuple[object, ...]:
        clashes = any(_ports(service, target) & self._ports for service in services)
        left = self._room[target] - group.size_bytes
        refs = [VolumeRef(group.namespace, each) for each in group.volumes]
        has_base = all(base_of_move(self.answers, each, self.machine, target) is not None for each in refs)
        most = max(self._room[each] for each in self.may_run(group)) - group.size_bytes
        tight = left < ROOMY * most
        return left < 0, clashes, not has_base, tight, self._load.get(target, 0), -left, self._numbers[target]

    # ------------------------------------------------------------ words

    def _owned(self) -> list[VolumePlacement]:
        return self.view.placement.volumes_on(self.machine)

    def _is_declared(self, volume: VolumeRef) -> bool:
        return committed.volume(self.view, volume) is not None

    def _of_group(self, group: _Group) -> list[Service]:
        return [each for each in self._services(group.namespace) if each.name in group.services]

    def _services(self, namespace: Namespace) -> tuple[Service, ...]:
        manifest = committed.of_namespace(self.view, namespace)
        return manifest.services if manifest else ()

    def _size_bytes(self, volume: VolumeRef) -> int:
        report = self.answers.volume(self.machine, volume)
        return report.referenced_bytes if report else 0


def _ports(service: Service | None, machine: MachineId) -> set[Port]:
    if service is None:
        return set()
    ports = [(publish.host_port, service.port(publish.service_port)) for publish in service.publish]
    return {(machine, host_port, port.protocol) for host_port, port in ports if port is not None}
