"""Events of volumes on one machine: made, mounted, snapshotted, sent, received, and gone."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types.base import Event, event
from ployz.events.types.values import SnapshotTaken
from ployz.ids import MachineId, VolumeRef


@event("volume.created", 1)
@frozen
class VolumeCreated(Event):
    volume: VolumeRef
    dataset: str


@event("volume.destroyed", 1)
@frozen
class VolumeDestroyed(Event):
    volume: VolumeRef
    dataset: str
    reason: str


@event("volume.set_aside", 1)
@frozen
class VolumeSetAside(Event):
    """The dataset of an owner that was away while its volume was taken over: renamed, and kept for an operator."""

    volume: VolumeRef
    dataset: str
    """Its new name."""


@event("volume.mounted", 1)
@frozen
class VolumeMounted(Event):
    volume: VolumeRef
    mountpoint: str


@event("volume.unmounted", 1)
@frozen
class VolumeUnmounted(Event):
    volume: VolumeRef


@event("volume.snapshot_taken", 1)
@frozen
class VolumesSnapshotTaken(Event):
    """All at one instant."""

    snapshots: tuple[SnapshotTaken, ...]


@event("volume.receive_prepared", 2)
@frozen
class ReceivePrepared(Event):
    volume: VolumeRef
    base: str | None
    """By its name here; None: into nothing."""
    base_guid: int | None
    rolled_back: bool
    resumed: bool = False
    """It goes on with what an attempt before it has left."""


@event("volume.sent", 1)
@frozen
class VolumeSent(Event):
    volume: VolumeRef
    target: MachineId
    base: str | None
    snapshot: str
    sent_bytes: int
    """What `zfs send` wrote, however that was packed on its way."""
    duration_ms: int


@event("volume.received", 1)
@frozen
class VolumeReceived(Event):
    volume: VolumeRef
    source: MachineId
    snapshot: str
    guid: int


@event("volume.digested", 1)
@frozen
class VolumeDigested(Event):
    volume: VolumeRef
    snapshot: str
    digest: str
    """SHA-256, in hex, of the snapshot's tree."""
