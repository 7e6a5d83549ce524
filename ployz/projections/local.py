"""What this machine itself has in hand: a fold of its own log, beside the facts.

It answers what no fact says: which gates are closed here, and which datasets an operation has touched here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from attrs import define, evolve, field, frozen

from ployz.events.log import Record
from ployz.events.types import (
    AddressClaimed,
    AddressReserved,
    ContainerCreated,
    ContainerExited,
    ContainerFinished,
    ContainerRemoved,
    ContainerRestarted,
    ContainerStarted,
    ContainerStopped,
    Cutover,
    NodeStarted,
    OperationFinished,
    ReceivePrepared,
    RoutesHeld,
    RoutesReleased,
    ServiceFenced,
    ServiceUnfenced,
    VolumeCreated,
    VolumeDestroyed,
)
from ployz.ids import MachineId, OperationId, ServiceRef, SlotName, SlotRef, VolumeRef

CUTOVERS_MAX: Final = 200
"""So many of the last ones are remembered, of all services together."""


@frozen
class Touch:
    """An operation made the dataset of a volume here, or began to receive into it."""

    operation_id: OperationId
    base: str | None
    """The snapshot that it began from; None: the dataset itself was made by it."""


@frozen
class Claim:
    """A candidate's addresses, which are here before any fact says so."""

    operation_id: OperationId
    ipv6: str
    ipv4: str
    made: bool = False
    """Of a reservation: its container was made, and is not removed yet."""


@frozen
class Held:
    """What this machine's gateway lets wait, and for which operation."""

    operation_id: OperationId
    slots: tuple[SlotName, ...]
    """Empty: all of the service."""
    until_ms: int


@define
class LocalView:
    _fences: dict[ServiceRef, OperationId] = field(factory=dict)
    _touches: dict[VolumeRef, Touch] = field(factory=dict)
    _cutovers: tuple[Cutover, ...] = ()
    _stopped: set[str] = field(factory=set)
    _claims: dict[SlotRef, Claim] = field(factory=dict)
    _holds: dict[ServiceRef, Held] = field(factory=dict)
    _reserved: dict[SlotRef, Claim] = field(factory=dict)
    _finished: dict[str, int] = field(factory=dict)
    _exited: dict[str, int] = field(factory=dict)
    machine: MachineId | None = None
    """Whose log this is: who started last with it. None: nobody has yet."""

    @property
    def fences(self) -> Mapping[ServiceRef, OperationId]:
        """Services whose gate is closed here, by which operation."""
        return self._fences

    def touch(self, volume: VolumeRef) -> Touch | None:
        """The last operation that made or received into the dataset."""
        return self._touches.get(volume)

    @property
    def claims(self) -> Mapping[SlotRef, Claim]:
        """The last claim of each slot. It holds while its operation is undecided; one that was aborted stands here for
        as long as its container may be there.
        """
        return self._claims

    @property
    def holds(self) -> Mapping[ServiceRef, Held]:
        """Of routed services, not released yet."""
        return self._holds

    @property
    def reserved(self) -> Mapping[SlotRef, Claim]:
        """The last reservation of each slot that has not become a claim, and whose container is still here."""
        return self._reserved

    def stopped_by_us(self, container: str) -> bool:
        """It did not end by itself: ployz stopped it, and has not started it since."""
        return container in self._stopped

    def finished(self, container: str) -> int | None:
        """What it runs ended with this at another machine, and it was made here to stay so. None: nothing says so."""
        return self._finished.get(container)

    @property
    def ended(self) -> AbstractSet[str]:
        """The containers of which that is known."""
        return {*self._finished, *self._exited}

    def ended_with(self, container: str) -> int | None:
        """How what it runs ended by itself, here or where it was before, whether the container is still there or not.
        None: nothing says so, or it was started since.
        """
        return self._exited.get(container, self._finished.get(container))

    @property
    def cutovers(self) -> Sequence[Cutover]:
        """The last ones that were coordinated here and committed, oldest first."""
        return self._cutovers

    def apply(self, record: Record) -> None:
        match record.event:
            case ServiceFenced(service, operation_id):
                self._fences[service] = operation_id
            case ServiceUnfenced(service):
                self._fences.pop(service, None)
            case VolumeCreated(volume) if record.operation_id is not None:
                self._touches[volume] = Touch(record.operation_id, None)
            case ReceivePrepared(volume, base) if record.operation_id is not None:
                # Only the first receive of an operation says what it began from; later rounds build on that one.
                touched = self._touches.get(volume)
                if touched is None or touched.operation_id != record.operation_id:
                    self._touches[volume] = Touch(record.operation_id, base)
            case VolumeDestroyed(volume):
                self._touches.pop(volume, None)
            case _:
                self._apply_to_the_node(record)

    def _apply_to_the_node(self, record: Record) -> None:
        match record.event:
            case NodeStarted(machine):
                self.machine = machine
            case ContainerFinished(_, container, exit_code):
                self._finished[container] = exit_code
            case ContainerExited(_, container, exit_code):
                self._exited[container] = exit_code
            case RoutesHeld(service, slots, until_ms) if record.operation_id is not None:
                self._holds[service] = Held(record.operation_id, slots, until_ms)
            case RoutesReleased(service):
                self._holds.pop(service, None)
            case OperationFinished(cutover=Cutover() as cutover):
                self._cutovers = (*self._cutovers, cutover)[-CUTOVERS_MAX:]
            case _:
                self._apply_to_containers(record)

    def _apply_to_containers(self, record: Record) -> None:
        match record.event:
            case AddressClaimed(slot, ipv6, ipv4) if record.operation_id is not None:
                self._claims[slot] = Claim(record.operation_id, ipv6, ipv4)
                self._reserved.pop(slot, None)
            case AddressReserved(slot, ipv6, ipv4) if record.operation_id is not None:
                self._reserved[slot] = Claim(record.operation_id, ipv6, ipv4)
            case ContainerCreated(slot, container):
                reserved = self._reserved.get(slot)
                if reserved is not None and container.endswith(f".{reserved.operation_id}"):
                    self._reserved[slot] = evolve(reserved, made=True)
            case ContainerStopped(_, container):
                self._stopped.add(container)
            case ContainerStarted(_, container) | ContainerRestarted(_, container):
                self._stopped.discard(container)
                self._finished.pop(container, None)
                self._exited.pop(container, None)
            case ContainerRemoved(slot, container):
                self._stopped.discard(container)
                self._finished.pop(container, None)
                self._exited.pop(container, None)
                for held in (self._claims, self._reserved):
                    claim = held.get(slot)
                    if claim is not None and container.endswith(f".{claim.operation_id}"):
                        del held[slot]
            case _:
                pass
