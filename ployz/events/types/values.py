"""Values inside events: what facts and events of several kinds speak of."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from ployz.ids import MachineId, OperationId, ServiceName, SlotName, VolumeRef


class Lifecycle(StrEnum):
    STANDBY = "standby"
    ACTIVE = "active"
    DRAINING = "draining"


class OperationKind(StrEnum):
    DEPLOY = "deploy"
    MIGRATE = "migrate"
    TAKEOVER = "takeover"


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
    duration_ms: int
