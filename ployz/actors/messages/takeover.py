"""To the actor `takeover`: volumes whose owner is off, given to another machine by an operator's word."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types import SnapshotTaken, VolumePlacement
from ployz.ids import MachineId, Namespace, OperationId, SlotRef, VolumeRef
from ployz.wire.message import OPERATOR, PEER, READER, Message, message

# ---------------------------------------------------------------- what a machine has


@frozen
class CopySnapshot:
    name: str
    guid: int
    created_s: int
    """When its owner took it."""


@frozen
class Copy:
    volume: VolumeRef
    epoch: int
    """0: it was received and never committed."""
    snapshots: tuple[CopySnapshot, ...]
    """Those of ployz's own, oldest first."""

    def named(self, name: str) -> CopySnapshot | None:
        return next((each for each in self.snapshots if each.name == name), None)


@frozen
class Copies:
    copies: tuple[Copy, ...]
    """Of the asked volumes that have a dataset here."""
    images: tuple[str, ...]
    """Those of the asked ones that are here."""


@message("takeover.look", senders=PEER)
@frozen
class LookAtCopies(Message[Copies]):
    volumes: tuple[VolumeRef, ...]
    images: tuple[str, ...]


@frozen
class Owners:
    owners: tuple[VolumePlacement, ...]
    """Of the asked volumes, by the facts that this machine has."""
    elsewhere: tuple[SlotRef, ...] = ()
    """Of the asked slots: those that newer facts than the asker's do not place on it any more."""


@message("takeover.owners", senders=PEER)
@frozen
class AskOwners(Message[Owners]):
    """From a machine that starts and does not reach the authority."""

    volumes: tuple[VolumeRef, ...]
    slots: tuple[SlotRef, ...] = ()
    """What it would start."""
    position: int = 0
    """Of the facts by which it would."""


# ---------------------------------------------------------------- the operator's word


@frozen
class TakenVolume:
    volume: VolumeRef
    epoch: int
    """That it will have."""
    snapshot: SnapshotTaken
    taken_ms: int
    newer: tuple[MachineId, ...]
    """Machines that answer and have a newer snapshot."""


@frozen
class TakeoverPlan:
    namespace: Namespace
    from_machine: MachineId
    to_machine: MachineId
    volumes: tuple[TakenVolume, ...]
    """All that the same services mount: they go together."""
    slots: tuple[SlotRef, ...]
    """What starts on the new owner."""
    now_ms: int
    """What the ages are counted to."""


@message("takeover.preview", senders=READER)
@frozen
class PreviewTakeover(Message[TakeoverPlan]):
    volume: VolumeRef
    to_machine: MachineId


@frozen
class TakenOver:
    operation_id: OperationId
    position: int
    plan: TakeoverPlan


@message("takeover.apply", senders=OPERATOR)
@frozen
class TakeOverVolume(Message[TakenOver]):
    """The operator says that the owner is off, and saw what is given up. `snapshots` is what they saw: others, and it
    is refused.
    """

    volume: VolumeRef
    to_machine: MachineId
    snapshots: tuple[SnapshotTaken, ...]
