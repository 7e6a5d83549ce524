"""To the actor `membership`: what a machine is for in the cluster, and how it leaves."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types import Lifecycle
from ployz.ids import MachineId, OperationId, SlotRef, VolumeRef
from ployz.wire.message import OPERATOR, READER, Message, message


@frozen
class LifecycleChanged:
    machine: MachineId
    before: Lifecycle
    after: Lifecycle
    position: int
    """Of the fact; 0: it was so already, and nothing was changed."""
    volumes: tuple[VolumeRef, ...]
    """What the machine has, after the change."""
    slots: tuple[SlotRef, ...]
    operations: tuple[OperationId, ...]
    """Undecided ones with it. Of those, what would bring something to a machine that is not active ends undone."""


@message("machine.change_lifecycle", senders=OPERATOR)
@frozen
class ChangeLifecycle(Message[LifecycleChanged]):
    """From ployzctl on any member."""

    machine: MachineId
    lifecycle: Lifecycle


@frozen
class OlderCopy:
    """Of a volume that is on the machine that is to go: a snapshot on another one, from which it could go on."""

    machine: MachineId
    taken_ms: int


@frozen
class LostVolume:
    volume: VolumeRef
    copies: tuple[OlderCopy, ...]
    """Newest first. Empty: whatever is in it is on that machine and nowhere else."""


@frozen
class Removal:
    """What it means that a machine goes."""

    machine: MachineId
    answers: bool
    volumes: tuple[LostVolume, ...]
    slots: tuple[SlotRef, ...]
    operations: tuple[OperationId, ...]
    now_ms: int


@message("machine.preview_removal", senders=READER)
@frozen
class PreviewRemoval(Message[Removal]):
    """`force`: for a machine that is gone. Else the removal of one that holds anything is refused."""

    machine: MachineId
    force: bool


@frozen
class Removed:
    removal: Removal
    position: int
    lagging: tuple[MachineId, ...]
    """Members that have not closed the way to it yet. They do when they follow."""


@message("machine.remove", senders=OPERATOR)
@frozen
class RemoveMachine(Message[Removed]):
    machine: MachineId
    force: bool
