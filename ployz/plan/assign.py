"""Which machine each slot of a manifest belongs on: the first half of a plan, made from facts alone.

Slots stay where they are. A new one goes where its volumes are, else where the fewest of its service are. What is known
of the world is only which machines do not answer: nothing new goes there, and their slots are the first to be given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from attrs import Factory, field, frozen

from ployz.errors import Code, Problem
from ployz.events.types import SlotPlacement, VolumePlacement
from ployz.ids import MachineId, ServiceName, ServiceRef, SlotName, VolumeName, VolumeRef
from ployz.manifest.model import BindSource, Global, Leave, Manifest, Replicated, Service
from ployz.plan import names
from ployz.plan.blockers import Blockers
from ployz.plan.model import Change, Waiting
from ployz.plan.spread import Spread
from ployz.projections.machines import Member
from ployz.projections.view import ClusterView

Before = Mapping[tuple[ServiceName, SlotName], SlotPlacement]
"""The slots of the namespace as they were committed last."""


@frozen
class WantedSlot:
    service: ServiceName
    slot: SlotName
    machine: MachineId
    previous: SlotPlacement | None


@frozen
class WantedVolume:
    volume: VolumeRef
    machine: MachineId
    previous: VolumePlacement | None


@frozen
class Assignment:
    slots: tuple[WantedSlot, ...]
    volumes: tuple[WantedVolume, ...]
    removed: tuple[SlotPlacement, ...]
    gone: frozenset[MachineId]
    """Machines that had slots or volumes of the namespace and are no members any more: nobody can be asked there."""
    problems: tuple[Problem, ...]
    away: frozenset[MachineId] = frozenset()
    """Members that did not answer."""
    waiting: tuple[Waiting, ...] = ()
    """New slots of global services, on those."""


def assign(
    manifest: Manifest, view: ClusterView, coordinator: MachineId, away: frozenset[MachineId] = frozenset()
) -> Assignment:
    """Deterministic: the same facts, manifest and silence give the same machines, whoever plans.

    `coordinator` is where a new volume that no service mounts is made. `away`: members that did not answer.
    """
    return _Assigner(manifest, view, coordinator, away).assign()


def may_leave(service: Service) -> bool:
    """Whether its replicas may be made elsewhere: no data of theirs is on the machine, in a volume or in a folder."""
    binds = any(isinstance(mount.source, BindSource) for mount in service.template.mounts)
    return not service.template.volumes and not binds


def _leaves(leave: Leave, service: Service) -> bool:
    return not leave.services or service.name in leave.services


@frozen
class _Assigner:
    manifest: Manifest
    view: ClusterView
    coordinator: MachineId
    away: frozenset[MachineId]
    blockers: Blockers = field(factory=Blockers, init=False)
    waiting: list[Waiting] = field(factory=list, init=False)
    homes: dict[VolumeName, MachineId] = field(factory=dict, init=False)
    """Where each volume of the namespace will be."""
    load: Counter[MachineId] = field(factory=Counter, init=False)
    """Slots of the whole cluster."""
    active: list[Member] = field(
        default=Factory(lambda self: [each for each in self.view.machines.in_order() if each.active], takes_self=True),
        init=False,
    )

    def assign(self) -> Assignment:
        self._place_volumes()
        state = self.view.placement.namespace(self.manifest.namespace)
        before: Before = state.slots if state else {}
        self.load.update(slot.machine for _, slot in self.view.placement.slots())
        kept: set[tuple[ServiceName, SlotName]] = set()
        slots: list[WantedSlot] = []
        for service in self.manifest.services:
            for slot, home in self._homes_of(service, before):
                kept.add((service.name, slot))
                if home is not None:
                    slots.append(WantedSlot(service.name, slot, home, before.get((service.name, slot))))
                    for volume in service.template.volumes:
                        self.homes.setdefault(volume, home)
        volumes = [
            WantedVolume(self._ref(each.name), self.homes.get(each.name, self._unmounted()), self._owned(each.name))
            for each in self.manifest.volumes
        ]
        self._check_moved_services(slots)
        self._check_leave()
        self._check_receivers(slots, volumes)
        had = {slot.machine for slot in before.values()} | {each.previous.owner for each in volumes if each.previous}
        return Assignment(
            slots=tuple(slots),
            volumes=tuple(volumes),
            removed=tuple(slot for key, slot in sorted(before.items()) if key not in kept),
            gone=frozenset(machine for machine in had if not self._is_member(machine)),
            problems=self.blockers.all(),
            away=self.away,
            waiting=tuple(self.waiting),
        )

    # ------------------------------------------------------------ slots

    def _homes_of(self, service: Service, before: Before) -> Iterator[tuple[SlotName, MachineId | None]]:
        """None: there is no machine for it. One at a time: the first slot's home is where a new volume will be."""
        leave = self.manifest.intent.leave
        match service.placement:
            case Global():
                members = self._on(service)
                if not members:
                    self._no_machine(service)
                for each in members:
                    slot = names.global_slot(each.machine)
                    if each.machine in self.away and (service.name, slot) not in before:
                        self.waiting.append(Waiting(service.name, slot, each.machine, Change.CREATE))
                    elif not self._left(each) or (leave is not None and not _leaves(leave, service)):
                        yield slot, each.machine
            case Replicated(count):
                yield from self._homes_of_replicas(service, self._replicas(service, count, before), before)

    def _replicas(self, service: Service, count: int, before: Before) -> list[SlotName]:
        """Those that there are, less the ones on machines that do not answer, then those with the highest numbers; and
        new ones with the lowest.
        """
        there = {
            index: self._answers(slot.machine)
            for (name, each), slot in before.items()
            if name == service.name and (index := names.replica_index(each)) is not None
        }
        kept = sorted(there, key=lambda index: (not there[index], index))[:count]
        new = (index for index in range(1, count + len(there) + 1) if index not in there)
        return [names.replica(index) for index in sorted([*kept, *islice(new, count - len(kept))])]

    def _homes_of_replicas(
        self, service: Service, slots: Sequence[SlotName], before: Before
    ) -> Iterator[tuple[SlotName, MachineId | None]]:
        moved_to = self._moved_to(service)
        stay = {
            slot: previous.machine
            for slot in slots
            if (previous := before.get((service.name, slot))) and self._may_stay(service, previous.machine)
        }
        spread = Spread(self._allowed(service), own=Counter(stay.values()), load=self.load)
        for slot in slots:
            home = moved_to or self._home_of_volumes(service) or stay.get(slot)
            if home is None:
                home = spread.take()
                if home is None:
                    self._no_machine(service)
            yield slot, home

    def _may_stay(self, service: Service, machine: MachineId) -> bool:
        leave = self.manifest.intent.leave
        leaves = leave is not None and leave.from_machine == machine and _leaves(leave, service) and may_leave(service)
        return self._is_member(machine) and not leaves and (not service.on or machine in service.on)

    def _allowed(self, service: Service) -> list[Member]:
        """Where a slot that does not stay may go."""
        leave = self.manifest.intent.leave
        to_machines = leave.to_machines if leave else ()
        allowed = [
            member
            for member in self._on(service)
            if not self._left(member) and (not to_machines or member.machine in to_machines)
        ]
        return [each for each in allowed if each.machine not in self.away] or allowed

    def _on(self, service: Service) -> list[Member]:
        for machine in service.on:
            self._check_member(machine)
        return [member for member in self.active if not service.on or member.machine in service.on]

    def _left(self, member: Member) -> bool:
        leave = self.manifest.intent.leave
        return leave is not None and leave.from_machine == member.machine

    def _home_of_volumes(self, service: Service) -> MachineId | None:
        homes = {volume: self.homes[volume] for volume in service.template.volumes if volume in self.homes}
        if len(set(homes.values())) > 1:
            where = ", ".join(f"{volume} on {home}" for volume, home in sorted(homes.items()))
            self.blockers.add(
                Code.OWNED_ELSEWHERE,
                f"service {service.name} mounts volumes of several machines: {where}",
                "Migrate the services that own them to one machine first.",
            )
        home = next(iter(homes.values()), None)
        if home is not None and service.on and home not in service.on:
            self.blockers.add(
                Code.OWNED_ELSEWHERE,
                f"service {service.name} may run on {', '.join(service.on)}, and its volumes are on {home}",
                f"Move it there first: ployzctl migrate apply {ServiceRef(self.manifest.namespace, service.name)} "
                f"--to {service.on[0]}",
            )
        return home

    # ------------------------------------------------------------ volumes and moves

    def _place_volumes(self) -> None:
        for declared in self.manifest.volumes:
            if (owned := self._owned(declared.name)) is not None:
                self.homes[declared.name] = owned.owner
                if not self._is_member(owned.owner):
                    self.blockers.add(
                        Code.OWNED_ELSEWHERE,
                        f"volume {owned.volume} is owned by {owned.owner}, which is no machine of the cluster any more",
                        f"Its data is there and nowhere else: bring {owned.owner} back.",
                    )
        for move in self.manifest.intent.volumes:
            owned = self._owned(move.volume)
            self._check_member(move.to_machine)
            if owned is None:
                self.blockers.add(
                    Code.UNKNOWN_VOLUME, f"volume {self._ref(move.volume)} does not exist, so nothing can move"
                )
            elif owned.owner == move.to_machine:
                self.blockers.add(Code.ALREADY_THERE, f"volume {owned.volume} is on {owned.owner} already")
            elif owned.owner != move.from_machine:
                self.blockers.add(
                    Code.OWNED_ELSEWHERE,
                    f"volume {owned.volume} is owned by {owned.owner}, not by {move.from_machine}",
                    "Render the manifest again: it was made before the volume moved.",
                )
            self.homes[move.volume] = move.to_machine

    def _moved_to(self, service: Service) -> MachineId | None:
        move = next((move for move in self.manifest.intent.services if move.service == service.name), None)
        return move.to_machine if move else None

    def _unmounted(self) -> MachineId:
        """Where a new volume is made that nobody mounts."""
        active = [member.machine for member in self.active]
        return self.coordinator if self.coordinator in active or not active else active[0]

    # ------------------------------------------------------------ checks

    def _check_moved_services(self, slots: Sequence[WantedSlot]) -> None:
        """One that waits where it is for a volume that comes moves with it, as far as an intent is concerned."""
        coming = {move.volume for move in self.manifest.intent.volumes}
        mounted = {service.name: service.template.volumes for service in self.manifest.services}
        for move in self.manifest.intent.services:
            self._check_member(move.to_machine)
            moved = [slot for slot in slots if slot.service == move.service]
            there = moved and all(slot.previous and slot.previous.machine == move.to_machine for slot in moved)
            if there and coming.isdisjoint(mounted[move.service]):
                ref = ServiceRef(self.manifest.namespace, move.service)
                self.blockers.add(Code.ALREADY_THERE, f"{ref} is on {move.to_machine} already", "Nothing to do.")

    def _check_leave(self) -> None:
        leave = self.manifest.intent.leave
        for machine in (leave.from_machine, *leave.to_machines) if leave else ():
            self._check_member(machine)

    def _check_receivers(self, slots: Sequence[WantedSlot], volumes: Sequence[WantedVolume]) -> None:
        """The commit's own rule: who gets something new is active. Who only keeps what it has may be draining."""
        receivers = {
            slot.machine for slot in slots if slot.previous is None or slot.previous.machine != slot.machine
        } | {each.machine for each in volumes if each.previous is None or each.previous.owner != each.machine}
        for machine in sorted(receivers):
            member = self.view.machines.get(machine)
            if member is not None and not member.active:
                self.blockers.add(
                    Code.MACHINE_NOT_ACTIVE,
                    f"machine {machine} is {member.lifecycle}: it takes no new service or volume",
                    "Choose an active one: ployzctl machine ls.",
                )

    def _check_member(self, machine: MachineId) -> None:
        if not self._is_member(machine):
            known = ", ".join(member.machine for member in self.view.machines.in_order())
            self.blockers.add(
                Code.UNKNOWN_MACHINE, f"there is no machine {machine} in the cluster", f"There are: {known}."
            )

    def _no_machine(self, service: Service) -> None:
        where = f" of {', '.join(service.on)}" if service.on else ""
        self.blockers.add(Code.NO_MACHINE, f"service {service.name}: no active machine{where} can run it")

    # ------------------------------------------------------------ words

    def _answers(self, machine: MachineId) -> bool:
        return self._is_member(machine) and machine not in self.away

    def _is_member(self, machine: MachineId) -> bool:
        return self.view.machines.get(machine) is not None

    def _ref(self, volume: VolumeName) -> VolumeRef:
        return VolumeRef(self.manifest.namespace, volume)

    def _owned(self, volume: VolumeName) -> VolumePlacement | None:
        return self.view.placement.volumes.get(self._ref(volume))
