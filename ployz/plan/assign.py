"""Which machine each slot of a manifest belongs on: the first half of a plan, made from facts alone.

Slots stay where they are. A new one goes where its volumes are, else to the machine with the fewest slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import field, frozen

from ployz.errors import Code, Problem
from ployz.events.types import SlotPlacement, VolumePlacement
from ployz.ids import MachineId, ServiceName, ServiceRef, SlotName, VolumeName, VolumeRef
from ployz.manifest.model import Global, Manifest, Replicated, Service
from ployz.plan import names
from ployz.projections.machines import Member
from ployz.projections.view import ClusterView


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
    problems: tuple[Problem, ...]


def assign(manifest: Manifest, view: ClusterView, coordinator: MachineId) -> Assignment:
    """Deterministic: the same facts and manifest give the same machines, whoever plans."""
    return _Assigner(manifest, view, coordinator).assign()


@frozen
class _Assigner:
    manifest: Manifest
    view: ClusterView
    coordinator: MachineId
    problems: list[Problem] = field(factory=list, init=False)
    homes: dict[VolumeName, MachineId] = field(factory=dict, init=False)
    """Where each volume of the namespace will be."""

    def assign(self) -> Assignment:
        for volume in self.manifest.volumes:
            if (owned := self._owned(volume.name)) is not None:
                self.homes[volume.name] = owned.owner
        self._move_volumes()
        state = self.view.placement.namespace(self.manifest.namespace)
        before = dict(state.slots) if state else {}
        load = Counter(slot.machine for _, slot in self.view.placement.slots())
        slots = [slot for service in self.manifest.services for slot in self._slots(service, before, load)]
        kept = {(slot.service, slot.slot) for slot in slots}
        for volume in self.manifest.volumes:
            self.homes.setdefault(volume.name, self.coordinator)
        return Assignment(
            slots=tuple(slots),
            volumes=tuple(
                WantedVolume(self._ref(volume.name), self.homes[volume.name], self._owned(volume.name))
                for volume in self.manifest.volumes
            ),
            removed=tuple(slot for key, slot in sorted(before.items()) if key not in kept),
            problems=tuple(self.problems),
        )

    def _slots(
        self, service: Service, before: dict[tuple[ServiceName, SlotName], SlotPlacement], load: Counter[MachineId]
    ) -> Iterator[WantedSlot]:
        for slot, home in self._homes_of(service, before, load):
            previous = before.get((service.name, slot))
            if previous is None or previous.machine != home:
                load[home] += 1
            for volume in service.template.volumes:
                self.homes.setdefault(volume, home)
            yield WantedSlot(service.name, slot, home, previous)

    def _homes_of(
        self, service: Service, before: dict[tuple[ServiceName, SlotName], SlotPlacement], load: Counter[MachineId]
    ) -> Iterator[tuple[SlotName, MachineId]]:
        moved_to = self._moved_to(service)
        allowed = self._allowed(service)
        match service.placement:
            case Global():
                yield from ((names.global_slot(member.machine), member.machine) for member in allowed)
            case Replicated(count):
                pinned = moved_to or self._home_of_volumes(service)
                for slot in map(names.replica, range(1, count + 1)):
                    home = pinned or self._stay_or_spread(service, before.get((service.name, slot)), allowed, load)
                    if home is not None:
                        yield slot, home

    def _stay_or_spread(
        self, service: Service, previous: SlotPlacement | None, allowed: Sequence[Member], load: Counter[MachineId]
    ) -> MachineId | None:
        if previous is not None and self._may_stay(service, previous.machine):
            return previous.machine
        if not allowed:
            where = f" of {', '.join(service.on)}" if service.on else ""
            self._problem(Code.NO_MACHINE, f"service {service.name}: no active machine{where} can run it")
            return None
        return min(allowed, key=lambda member: (load[member.machine], member.number)).machine

    def _may_stay(self, service: Service, machine: MachineId) -> bool:
        return self.view.machines.get(machine) is not None and (not service.on or machine in service.on)

    def _allowed(self, service: Service) -> list[Member]:
        members = [member for member in self.view.machines.in_order() if member.active]
        for machine in service.on:
            if self.view.machines.get(machine) is None:
                self._unknown_machine(machine)
        return [member for member in members if not service.on or member.machine in service.on]

    def _home_of_volumes(self, service: Service) -> MachineId | None:
        homes = {volume: self.homes[volume] for volume in service.template.volumes if volume in self.homes}
        if len(set(homes.values())) > 1:
            where = ", ".join(f"{volume} on {home}" for volume, home in sorted(homes.items()))
            self._problem(
                Code.OWNED_ELSEWHERE,
                f"service {service.name} mounts volumes of several machines: {where}",
                "Migrate the services that own them to one machine first.",
            )
        home = next(iter(homes.values()), None)
        if home is not None and service.on and home not in service.on:
            self._problem(
                Code.OWNED_ELSEWHERE,
                f"service {service.name} may run on {', '.join(service.on)}, and its volumes are on {home}",
                f"Move it there first: ployzctl migrate apply {ServiceRef(self.manifest.namespace, service.name)} "
                f"--to {service.on[0]}",
            )
        return home

    # ------------------------------------------------------------ moves

    def _moved_to(self, service: Service) -> MachineId | None:
        move = next((move for move in self.manifest.intent.services if move.service == service.name), None)
        return move.to_machine if move else None

    def _move_volumes(self) -> None:
        for target in sorted({move.to_machine for move in self.manifest.intent.services}):
            self._check_target(target)
        for move in self.manifest.intent.volumes:
            owned = self._owned(move.volume)
            if owned is None:
                self._problem(
                    Code.UNKNOWN_VOLUME, f"volume {self._ref(move.volume)} does not exist, so nothing can move"
                )
            elif owned.owner != move.from_machine:
                self._problem(
                    Code.OWNED_ELSEWHERE,
                    f"volume {owned.volume} is owned by {owned.owner}, not by {move.from_machine}",
                    "Render the manifest again: it was made before the volume moved.",
                )
            self.homes[move.volume] = move.to_machine

    def _check_target(self, target: MachineId) -> None:
        member = self.view.machines.get(target)
        if member is None:
            self._unknown_machine(target)
        elif not member.active:
            self._problem(
                Code.MACHINE_NOT_ACTIVE, f"machine {target} is {member.lifecycle}: it takes no new service or volume"
            )

    def _unknown_machine(self, machine: MachineId) -> None:
        known = ", ".join(member.machine for member in self.view.machines.in_order())
        self._problem(Code.UNKNOWN_MACHINE, f"there is no machine {machine} in the cluster", f"There are: {known}.")

    # ------------------------------------------------------------ words

    def _ref(self, volume: VolumeName) -> VolumeRef:
        return VolumeRef(self.manifest.namespace, volume)

    def _owned(self, volume: VolumeName) -> VolumePlacement | None:
        return self.view.placement.volumes.get(self._ref(volume))

    def _problem(self, code: Code, text: str, advice: str = "") -> None:
        problem = Problem(code, text, advice)
        if problem not in self.problems:
            self.problems.append(problem)
