"""To the actors `storage` and `volume/NAMESPACE/VOLUME`: datasets, snapshots, sends and receives.

Every message of an operation carries `position`, that of its OperationStarted fact: who takes it waits until its own
mirror is there, so that nobody works for an operation that it does not know, or knows to be decided.
"""

from __future__ import annotations

from attrs import frozen

from ployz.errors import Problem
from ployz.events.types import SnapshotTaken
from ployz.ids import MachineId, OperationId, VolumeRef
from ployz.plan.properties import Setting
from ployz.plan.reports import SnapshotReport
from ployz.wire.message import LOCAL, PEER, Done, Message, message
from ployz.wire.streams import Ticket

# ---------------------------------------------------------------- storage


@frozen
class SnapshotsTaken:
    snapshots: tuple[SnapshotTaken, ...]


@frozen
class VolumeSize:
    volume: VolumeRef
    referenced_bytes: int
    quota_bytes: int
    """0: none."""
    snapshots_bytes: int


@frozen
class Sizes:
    volumes: tuple[VolumeSize, ...]
    """Those of the asked ones that have a dataset there."""


@message("storage.sizes", senders=PEER)
@frozen
class AskSizes(Message[Sizes]):
    """From whoever lists many: one look at the pool for all of them."""

    volumes: tuple[VolumeRef, ...]


@message("storage.snapshot", senders=PEER)
@frozen
class TakeSnapshots(Message[SnapshotsTaken]):
    """From a coordinator: round `round` of its pre-copy, all volumes at one instant."""

    operation_id: OperationId
    position: int
    round: int
    volumes: tuple[VolumeRef, ...]


# ---------------------------------------------------------------- one volume


@message("volume.create", senders=PEER)
@frozen
class CreateVolume(Message[Done]):
    """From a coordinator: the dataset of a new volume."""

    operation_id: OperationId
    position: int
    volume: VolumeRef
    quota_bytes: int
    mode: str
    owner: str
    settings: tuple[Setting, ...] = ()
    """Its ZFS properties."""


@frozen
class SendEstimate:
    sent_bytes: int


@message("volume.estimate", senders=PEER)
@frozen
class EstimateSend(Message[SendEstimate]):
    """From a coordinator that plans: what a send from `base` to now is expected to take."""

    volume: VolumeRef
    base: str | None


@frozen
class ReceiveReady:
    base: str | None
    """The send must begin from this snapshot; None: a full one."""
    ticket: Ticket
    resume_token: str | None
    """The send must write what is missing by this token, instead."""


@message("volume.begin_receive", senders=PEER)
@frozen
class BeginReceive(Message[ReceiveReady]):
    """From a coordinator: make ready for one round. Rolls back to the base, and then listens."""

    operation_id: OperationId
    position: int
    volume: VolumeRef
    round: int
    source: MachineId
    snapshot: str
    bases: tuple[SnapshotReport, ...]
    """What the source could send from, oldest first."""
    epoch: int
    """Of the owner's copy: only a copy of an older epoch may be rolled back or replaced."""
    attempt: int
    """Counted from 1. Another one begins from what is there then."""
    resumes: bool
    """It may go on with what an attempt before it has left of this round."""
    increment: bool = False
    """It fails where there is nothing in common: another attempt must not become a full send."""


@frozen
class SendDone:
    sent_bytes: int
    duration_ms: int
    again_bytes: int
    """Of them, how many were sent more than once, because the link was lost."""
    links_lost: int


@message("volume.send", senders=PEER)
@frozen
class SendVolume(Message[SendDone]):
    """From a coordinator to the owner: answered when the receiver said that it has everything. Asked again, it waits
    for the send that runs.
    """

    operation_id: OperationId
    position: int
    volume: VolumeRef
    round: int
    target: MachineId
    ticket: Ticket
    base: str | None
    snapshot: str
    resume_token: str | None
    attempt: int
    patience_s: float
    """How long it waits for a link that is gone."""
    bandwidth_bytes_s: int | None
    """Of everything that this machine sends for the operation."""


@frozen
class SendProgress:
    sent_bytes: int
    """0 when nothing is being sent."""
    lost: str
    """Why the link is gone; empty: it is there."""


@message("volume.progress", senders=PEER)
@frozen
class ReadProgress(Message[SendProgress]):
    operation_id: OperationId


@frozen
class ReceiveDone:
    guid: int


@message("volume.end_receive", senders=PEER)
@frozen
class EndReceive(Message[ReceiveDone]):
    """From a coordinator: the received snapshot must have this guid (openzfs 4809: a send can be silently wrong)."""

    operation_id: OperationId
    position: int
    volume: VolumeRef
    round: int
    source: MachineId
    snapshot: str
    guid: int
    settings: tuple[Setting, ...] = ()
    """The ZFS properties of the volume: set after the first round, while the service still runs elsewhere."""


@frozen
class Digest:
    digest: str


@message("volume.digest", senders=PEER)
@frozen
class DigestSnapshot(Message[Digest]):
    """From a coordinator, to both sides of a move: of everything in the snapshot."""

    operation_id: OperationId
    position: int
    volume: VolumeRef
    snapshot: str


@message("volume.cancel", senders=PEER)
@frozen
class CancelTransfer(Message[Done]):
    """From a coordinator that gives up: ends what runs for this operation."""

    operation_id: OperationId


# ---------------------------------------------------------------- within the machine


@frozen
class Mounted:
    mountpoint: str


@message("volume.mount", senders=LOCAL)
@frozen
class MountVolume(Message[Mounted]):
    """From the workload actor, whose gate is open."""

    operation_id: OperationId


@message("volume.unmount", senders=LOCAL)
@frozen
class UnmountVolume(Message[Done]):
    """From the workload actor, whose containers are gone: no mount is left, and it is read-only."""

    operation_id: OperationId


@frozen
class VolumeSettled:
    late: tuple[Problem, ...]
    """What did not work, and a service runs without: tried again, and no reason to keep it down."""


@message("volume.settle", senders=LOCAL)
@frozen
class SettleVolume(Message[VolumeSettled]):
    """From the workload actor: agree with the facts. It fails where a service must not run on what is there."""


@message("volume.destroy", senders=PEER)
@frozen
class DestroyVolume(Message[Done]):
    """From the node that removed the volume by the fact at `position`: its dataset goes."""

    volume: VolumeRef
    position: int


@message("volume.destroy_copy", senders=PEER)
@frozen
class DestroyCopy(Message[Done]):
    """From a node that has the namespace's lock: the dataset goes, if by the facts up to `position` another machine
    owns the volume, and no operation is undecided.
    """

    volume: VolumeRef
    position: int
