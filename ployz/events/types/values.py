"""Values inside events: what facts and events of several kinds speak of."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId, OperationId, ServiceName, ServiceRef, SlotName, VolumeRef


@frozen
class SlotPlacement:
    """Where one replica of a service is, and on which addresses, for life."""

    service: ServiceName
    slot: SlotName
    machine: MachineId
    ipv6: str
    ipv4: str
    image_id: str
    template_hash: str
    """Of everything its container was made from; a changed hash means that it must be replaced."""
    operation_id: OperationId
    """The operation whose container fills the slot: its label."""


@frozen
class VolumePlacement:
    """Who owns a volume. `epoch` rises by one with each committed move."""

    volume: VolumeRef
    owner: MachineId
    epoch: int


@frozen
class SnapshotTaken:
    volume: VolumeRef
    snapshot: str
    guid: int


@frozen
class RoundEvidence:
    """One send of one volume that was received and checked by guid."""

    volume: VolumeRef
    round: int
    base: str | None
    snapshot: str
    guid: int
    sent_bytes: int
    """What `zfs send` wrote, however that was packed on its way."""
    duration_ms: int


@frozen
class CutoverParts:
    """Where a cut-over went, each in ms, in order. Of what happens side by side on several machines the slowest counts.

    They overlap a little, so they may add up to more than the whole.
    """

    hold_ms: int = 0
    """Until the gateways held new requests, and running ones had ended."""
    stop_ms: int = 0
    """Until nothing of the service wrote any more."""
    unmount_ms: int = 0
    snapshot_ms: int = 0
    send_ms: int = 0
    """Until the target said that it has all of the last round."""
    receive_ms: int = 0
    """Until the target had compared it."""
    mount_ms: int = 0
    start_ms: int = 0
    ready_ms: int = 0
    commit_ms: int = 0
    follow_ms: int = 0
    """From the commit until every machine that can be reached sends requests to the new place: where nothing is held,
    the first request that the target answers falls into it."""
    release_ms: int = 0
    """From the commit until every gateway let go what it held: the first request that the target answers. Beside the
    following, and over after it: a gateway waits until it reaches the service itself. 0: nothing was held."""


@frozen
class Cutover:
    """A cut-over as it was predicted before anything stopped, and as it was measured."""

    services: tuple[ServiceRef, ...]
    """Those that were stopped for it."""
    predicted_ms: int
    took_ms: int
    """From the moment the first request was held, or the first service about to be stopped, until requests reached the
    new place."""
    predicted_bytes: int
    """Of the last round."""
    last_bytes: int
    """What the last round sent."""
    stop_bytes: int
    """How much of that nobody would expect from the rate of the rounds before: what the services write as they stop."""
    parts: CutoverParts
