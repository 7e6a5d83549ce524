"""Where everything is: each namespace as its last commit left it, and who owns each volume.

A commit changes placement, and an operator's takeover. What an operation in flight intends is not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import define, evolve, field, frozen

from ployz.events.types import (
    DeployCommitted,
    Fact,
    RoundEvidence,
    SlotPlacement,
    VolumePlacement,
    VolumeRemoved,
    VolumeTakenOver,
)
from ployz.ids import MachineId, Namespace, OperationId, ServiceName, ServiceRef, SlotName, SlotRef, VolumeRef


@frozen
class NamespaceState:
    namespace: Namespace
    operation_id: OperationId
    position: int
    committed_ms: int
    manifest: str
    """Canonical JSON."""
    slots: Mapping[tuple[ServiceName, SlotName], SlotPlacement]
    """In order of their names."""

    def of_service(self, service: ServiceName) -> list[SlotPlacement]:
        return [slot for (name, _), slot in self.slots.items() if name == service]


@frozen
class Takeover:
    """By an operator's word that `from_machine` is off."""

    operation_id: OperationId
    from_machine: MachineId
    epoch: int
    """Of the volume since then."""
    snapshot: str
    """What it went on from. Everything later on `from_machine` is no part of the volume."""


@define
class Placement:
    _namespaces: dict[Namespace, NamespaceState] = field(factory=dict)
    _volumes: dict[VolumeRef, VolumePlacement] = field(factory=dict)
    _bases: dict[VolumeRef, RoundEvidence] = field(factory=dict)
    _takeovers: dict[VolumeRef, Takeover] = field(factory=dict)

    @property
    def namespaces(self) -> Mapping[Namespace, NamespaceState]:
        return self._namespaces

    @property
    def volumes(self) -> Mapping[VolumeRef, VolumePlacement]:
        return self._volumes

    def base(self, volume: VolumeRef) -> RoundEvidence | None:
        """The final snapshot of the volume's last move: what both its machines still share."""
        return self._bases.get(volume)

    def takeover(self, volume: VolumeRef) -> Takeover | None:
        """How its owner came by it, if it was not by a move."""
        return self._takeovers.get(volume)

    def namespace(self, namespace: Namespace) -> NamespaceState | None:
        return self._namespaces.get(namespace)

    def slots(self) -> Iterator[tuple[SlotRef, SlotPlacement]]:
        """Every slot of the cluster, in order of its name."""
        for namespace, state in sorted(self._namespaces.items()):
            for (service, slot), placement in state.slots.items():
                yield SlotRef(ServiceRef(namespace, service), slot), placement

    def of_service(self, ref: ServiceRef) -> list[SlotPlacement]:
        state = self._namespaces.get(ref.namespace)
        return state.of_service(ref.service) if state else []

    def volumes_on(self, machine: MachineId) -> list[VolumePlacement]:
        return [volume for _, volume in sorted(self._volumes.items()) if volume.owner == machine]

    def copy(self) -> Placement:
        return Placement(dict(self._namespaces), dict(self._volumes), dict(self._bases), dict(self._takeovers))

    def apply(self, fact: Fact, position: int, at_ms: int) -> None:
        match fact:
            case DeployCommitted():
                self._commit(fact, position, at_ms)
            case VolumeRemoved():
                self._volumes.pop(fact.volume, None)
                self._bases.pop(fact.volume, None)
                self._takeovers.pop(fact.volume, None)
            case VolumeTakenOver():
                self._take_over(fact)
            case _:
                pass

    def _commit(self, fact: DeployCommitted, position: int, at_ms: int) -> None:
        self._namespaces[fact.namespace] = NamespaceState(
            namespace=fact.namespace,
            operation_id=fact.operation_id,
            position=position,
            committed_ms=at_ms,
            manifest=fact.manifest,
            slots={
                (slot.service, slot.slot): slot
                for slot in sorted(fact.slots, key=lambda each: (each.service, each.slot))
            },
        )
        for volume in fact.volumes:
            before = self._volumes.get(volume.volume)
            if before is None or before.epoch != volume.epoch:
                self._takeovers.pop(volume.volume, None)
            self._volumes[volume.volume] = volume
        for evidence in sorted(fact.evidence, key=lambda each: each.round):
            self._bases[evidence.volume] = evidence

    def _take_over(self, fact: VolumeTakenOver) -> None:
        state = self._namespaces[fact.namespace]
        moved = {(slot.service, slot.slot): slot for slot in fact.slots}
        self._namespaces[fact.namespace] = evolve(state, slots={**state.slots, **moved})
        epochs = {volume.volume: volume.epoch for volume in fact.volumes}
        for volume in fact.volumes:
            self._volumes[volume.volume] = volume
        for taken in fact.snapshots:
            self._takeovers[taken.volume] = Takeover(
                fact.operation_id, fact.from_machine, epochs[taken.volume], taken.snapshot
            )
            self._bases[taken.volume] = RoundEvidence(taken.volume, 0, None, taken.snapshot, taken.guid, 0, 0)
