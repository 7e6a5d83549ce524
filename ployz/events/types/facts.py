"""Facts: what is committed to the cluster's one log, and is true on every machine that has followed it so far."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types.base import Fact, event
from ployz.events.types.values import (
    RoundEvidence,
    SlotPlacement,
    SnapshotTaken,
    VolumePlacement,
)
from ployz.events.words import Lifecycle, OperationKind
from ployz.ids import Certificate, ClusterName, MachineId, Namespace, OperationId, VolumeRef


@event("cluster.founded", 1)
@frozen
class ClusterFounded(Fact):
    cluster: ClusterName
    founder: MachineId
    ipv6_prefix: str
    """A /48 of unique local addresses: subnet 0 for machines, subnet 1 for workloads."""
    machine_ipv4_subnet: str
    workload_ipv4_subnet: str


@event("cluster.setting_changed", 1)
@frozen
class ClusterSettingChanged(Fact):
    """An operator's word about the whole cluster: `isolation` is `on`."""

    key: str
    value: str


@event("machine.joined", 1)
@frozen
class MachineJoined(Fact):
    machine: MachineId
    number: int
    ipv6: str
    ipv4: str
    endpoint: str
    public_key: str
    """WireGuard's, base64."""
    lifecycle: Lifecycle


@event("machine.identified", 1)
@frozen
class MachineIdentified(Fact):
    """By which key the others know the machine from here on, on every connection that they make with it."""

    machine: MachineId
    certificate: Certificate


@event("machine.lifecycle_changed", 1)
@frozen
class MachineLifecycleChanged(Fact):
    machine: MachineId
    lifecycle: Lifecycle


@event("machine.setting_changed", 1)
@frozen
class MachineSettingChanged(Fact):
    """An operator's word about a machine: `gateway` is `on`, `label.zone` is `cellar`; an empty label is none.

    `endpoint` is that of the machine from here on, in place of the one with which it joined.
    """

    machine: MachineId
    key: str
    value: str


@event("machine.removed", 1)
@frozen
class MachineRemoved(Fact):
    machine: MachineId


@event("operation.started", 1)
@frozen
class OperationStarted(Fact):
    operation_id: OperationId
    kind: OperationKind
    namespace: Namespace
    coordinator: MachineId
    participants: tuple[MachineId, ...]
    lock_token: int
    manifest_hash: str


@event("deploy.committed", 1)
@frozen
class DeployCommitted(Fact):
    """The point of no return of an operation: the whole of its namespace as it is from here on."""

    operation_id: OperationId
    kind: OperationKind
    namespace: Namespace
    manifest: str
    """Canonical JSON, without intent: what `migrate` renders from and what the next deploy is compared with."""
    slots: tuple[SlotPlacement, ...]
    volumes: tuple[VolumePlacement, ...]
    evidence: tuple[RoundEvidence, ...]
    """The rounds of each moved volume, checked by guid before this was committed."""


@event("operation.aborted", 1)
@frozen
class OperationAborted(Fact):
    operation_id: OperationId
    namespace: Namespace
    by: MachineId
    reason: str


@event("volume.removed", 1)
@frozen
class VolumeRemoved(Fact):
    """An operator destroyed the volume; its epoch ends here."""

    volume: VolumeRef


@event("volume.taken_over", 1)
@frozen
class VolumeTakenOver(Fact):
    """An operator's word that the owner is off and stays so. What it wrote after `snapshots` is given up.

    The volumes that the same services mount go together, and their services with them, at their kept addresses.
    """

    operation_id: OperationId
    namespace: Namespace
    by: MachineId
    """Where the operator gave the word."""
    from_machine: MachineId
    volumes: tuple[VolumePlacement, ...]
    """With their new owner, each at its next epoch."""
    snapshots: tuple[SnapshotTaken, ...]
    """What each goes on from."""
    slots: tuple[SlotPlacement, ...]
    """The slots that go with them; every other slot of the namespace stays as it is."""
