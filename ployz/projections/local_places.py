"""Which of this machine's own events still count: where in the log each thing is said that `LocalView` knows.

It follows that view step by step, with the places of records where the view has what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import define, evolve, field, frozen

from ployz.events.log import Record
from ployz.events.types import (
    AddressClaimed,
    AddressReserved,
    CommandGiven,
    ContainerCreated,
    ContainerExited,
    ContainerFinished,
    ContainerReady,
    ContainerRemoved,
    ContainerRestarted,
    ContainerStarted,
    ContainerStopped,
    ContainerUnready,
    HookRan,
    ImageReceived,
    NodeStarted,
    OperationFinished,
    OperationOrdered,
    PutBack,
    ReceivePrepared,
    RoutesHeld,
    RoutesReleased,
    ServiceFenced,
    ServiceUnfenced,
    StepBegun,
    StepFailed,
    TakenAway,
    VolumeCreated,
    VolumeDestroyed,
    VolumeDigested,
    VolumeMounted,
    VolumeReceived,
    VolumeSent,
    VolumeSetAside,
    VolumesSnapshotTaken,
    VolumeUnmounted,
    VoteCast,
)
from ployz.ids import OperationId, ServiceRef, SlotRef, VolumeRef
from ployz.projections.local import CUTOVERS_MAX

NOTHING: Final = (
    CommandGiven,
    ContainerReady,
    ContainerUnready,
    HookRan,
    ImageReceived,
    OperationOrdered,
    PutBack,
    StepBegun,
    StepFailed,
    TakenAway,
    VolumeDigested,
    VolumeMounted,
    VolumeReceived,
    VolumeSent,
    VolumeSetAside,
    VolumeUnmounted,
    VolumesSnapshotTaken,
    VoteCast,
)
"""Events that no projection looks at. One that is neither here nor below counts for ever."""


@frozen
class _Said:
    operation_id: OperationId
    seqs: tuple[int, ...]


@define
class LocalPlaces:
    _fences: dict[ServiceRef, int] = field(factory=dict)
    _holds: dict[ServiceRef, int] = field(factory=dict)
    _touches: dict[VolumeRef, _Said] = field(factory=dict)
    _cutovers: tuple[int, ...] = ()
    _stopped: dict[str, int] = field(factory=dict)
    _finished: dict[str, int] = field(factory=dict)
    _exited: dict[str, int] = field(factory=dict)
    _claims: dict[SlotRef, _Said] = field(factory=dict)
    _reserved: dict[SlotRef, _Said] = field(factory=dict)
    _started: tuple[int, ...] = ()
    """At most one: the last."""
    _always: list[int] = field(factory=list)

    def seqs(self) -> Iterator[int]:
        """In no order."""
        for places in (self._fences, self._holds, self._stopped, self._finished, self._exited):
            yield from places.values()
        for said in (*self._touches.values(), *self._claims.values(), *self._reserved.values()):
            yield from said.seqs
        yield from (*self._cutovers, *self._started, *self._always)

    def note(self, record: Record) -> None:
        match record.event:
            case ServiceFenced(service):
                self._fences[service] = record.seq
            case ServiceUnfenced(service):
                self._fences.pop(service, None)
            case RoutesHeld(service):
                if record.operation_id is not None:
                    self._holds[service] = record.seq
            case RoutesReleased(service):
                self._holds.pop(service, None)
            case OperationFinished():
                if record.event.cutover is not None:
                    self._cutovers = (*self._cutovers, record.seq)[-CUTOVERS_MAX:]
            case NodeStarted():
                self._started = (record.seq,)
            case AddressClaimed() | AddressReserved() | VolumeCreated() | ReceivePrepared() | VolumeDestroyed():
                self._note_operation(record)
            case _:
                self._note_container(record)

    def _note_operation(self, record: Record) -> None:
        """What an operation does to a slot or a volume, of which the last one counts."""
        said = None if record.operation_id is None else _Said(record.operation_id, (record.seq,))
        match record.event:
            case VolumeDestroyed(volume):
                self._touches.pop(volume, None)
            case _ if said is None:
                pass  # of no operation: the view does not look at it
            case VolumeCreated(volume):
                self._touches[volume] = said
            case ReceivePrepared(volume):
                touched = self._touches.get(volume)
                if touched is None or touched.operation_id != said.operation_id:
                    self._touches[volume] = said
            case AddressClaimed(slot):
                self._claims[slot] = said
                self._reserved.pop(slot, None)
            case AddressReserved(slot):
                self._reserved[slot] = said

    def _note_container(self, record: Record) -> None:
        match record.event:
            case ContainerCreated(slot, container):
                reserved = self._reserved.get(slot)
                if reserved is not None and container.endswith(f".{reserved.operation_id}"):
                    self._reserved[slot] = evolve(reserved, seqs=(reserved.seqs[0], record.seq))
            case ContainerFinished() | ContainerExited() | ContainerStopped():
                self._note_end(record)
            case ContainerStarted(_, container) | ContainerRestarted(_, container):
                self._stopped.pop(container, None)
                self._finished.pop(container, None)
                self._exited.pop(container, None)
            case ContainerRemoved(slot, container):
                self._stopped.pop(container, None)
                self._finished.pop(container, None)
                self._exited.pop(container, None)
                for places in (self._claims, self._reserved):
                    said = places.get(slot)
                    if said is not None and container.endswith(f".{said.operation_id}"):
                        del places[slot]
            case event if not isinstance(event, NOTHING):
                self._always.append(record.seq)

    def _note_end(self, record: Record) -> None:
        match record.event:
            case ContainerFinished(_, container):
                self._finished[container] = record.seq
            case ContainerExited(_, container):
                self._exited[container] = record.seq
            case ContainerStopped(_, container):
                self._stopped[container] = record.seq
