"""A takeover as a plan: which volumes and slots go together, and from which snapshots. Pure.

All volumes that the same services mount go, from one instant if the new owner has one that all of them share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from ployz.errors import Code, Refused
from ployz.events.types import SlotPlacement, SnapshotTaken, VolumePlacement, VolumeTakenOver
from ployz.ids import MachineId, OperationId, ServiceName, ServiceRef, SlotRef, VolumeRef
from ployz.plan import committed
from ployz.projections.view import ClusterView


@frozen
class Group:
    """What leaves one machine together."""

    owner: MachineId
    volumes: tuple[VolumePlacement, ...]
    slots: tuple[SlotPlacement, ...]

    def refs(self, volume: VolumeRef) -> tuple[SlotRef, ...]:
        return tuple(SlotRef(ServiceRef(volume.namespace, each.service), each.slot) for each in self.slots)

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(sorted({each.image_id for each in self.slots}))


def group_of(view: ClusterView, volume: VolumeRef, target: MachineId) -> Group:
    """`Refused`: UNKNOWN_VOLUME, UNKNOWN_MACHINE, MACHINE_NOT_ACTIVE, ALREADY_THERE."""
    owned = view.placement.volumes.get(volume)
    if owned is None:
        known = ", ".join(map(str, sorted(view.placement.volumes))) or "none"
        raise Refused(Code.UNKNOWN_VOLUME, f"there is no volume {volume}", f"There are: {known}.")
    member = view.machines.get(target)
    if member is None:
        known = ", ".join(each.machine for each in view.machines.in_order())
        raise Refused(Code.UNKNOWN_MACHINE, f"there is no machine {target} in the cluster", f"There are: {known}.")
    if owned.owner == target:
        raise Refused(Code.ALREADY_THERE, f"volume {volume} is on {target} already", "Nothing to do.")
    if not member.active:
        raise Refused(
            Code.MACHINE_NOT_ACTIVE,
            f"machine {target} is {member.lifecycle}: it takes no new service or volume",
            "Choose an active one: ployzctl machine ls.",
        )
    manifest = committed.of_namespace(view, volume.namespace)
    mounted = {service.name: set(service.template.volumes) for service in manifest.services} if manifest else {}
    volumes, services = {volume.volume}, set[ServiceName]()
    while more := {name for name, its in mounted.items() if its & volumes} - services:
        services |= more
        volumes |= {each for name in more for each in mounted[name]}
    state = view.placement.namespace(volume.namespace)
    placements = [view.placement.volumes.get(VolumeRef(volume.namespace, each)) for each in sorted(volumes)]
    return Group(
        owner=owned.owner,
        volumes=tuple(each for each in placements if each is not None and each.owner == owned.owner),
        slots=tuple(
            slot
            for slot in (state.slots.values() if state else ())
            if slot.service in services and slot.machine == owned.owner
        ),
    )


def choose(names: Mapping[VolumeRef, Sequence[str]]) -> dict[VolumeRef, str]:
    """The newest snapshot that all of them have, which is of one instant; else the newest of each. By name, oldest
    first. A volume without any is left out.
    """
    shared = set.intersection(*(set(each) for each in names.values())) if names else set()
    return {
        volume: next((name for name in reversed(each) if name in shared), each[-1])
        for volume, each in names.items()
        if each
    }


def taken_over(
    group: Group, operation_id: OperationId, by: MachineId, target: MachineId, snapshots: Sequence[SnapshotTaken]
) -> VolumeTakenOver:
    return VolumeTakenOver(
        operation_id=operation_id,
        namespace=group.volumes[0].volume.namespace,
        by=by,
        from_machine=group.owner,
        volumes=tuple(evolve(each, owner=target, epoch=each.epoch + 1) for each in group.volumes),
        snapshots=tuple(snapshots),
        slots=tuple(evolve(each, machine=target, operation_id=operation_id) for each in group.slots),
    )
