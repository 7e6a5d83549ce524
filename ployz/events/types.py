"""The vocabulary: every kind of event there is, each a frozen value under a name that never changes.

A stored name is `noun.past_tense/version`. To change a class, add a version and an upcaster (`upcast.py`);
golden bytes in tests/golden hold every (name, version) that was ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import ClassVar, TypeVar

from attrs import frozen

from ployz.errors import Code
from ployz.ids import (
    ClusterName,
    MachineId,
    Namespace,
    OperationId,
    ServiceName,
    ServiceRef,
    SlotName,
    SlotRef,
    VolumeRef,
)


class Event:
    """Base of every event. `event_name` and `event_version` are how it is stored."""

    event_name: ClassVar[str] = ""
    event_version: ClassVar[int] = 0


class Fact(Event):
    """An event that is committed to the cluster's fact log, and reaches a machine's own log inside FactMirrored."""


E = TypeVar("E", bound=type[Event])

_VOCABULARY: dict[tuple[str, int], type[Event]] = {}


def event(name: str, version: int) -> Callable[[E], E]:
    """Enters a class into the vocabulary under its stored name."""

    def enter(cls: E) -> E:
        if (name, version) in _VOCABULARY:
            raise AssertionError(f"{name}/{version} is in the vocabulary twice")
        cls.event_name = name
        cls.event_version = version
        _VOCABULARY[name, version] = cls
        return cls

    return enter


def vocabulary() -> Mapping[tuple[str, int], type[Event]]:
    """Every class by (name, version)."""
    return dict(_VOCABULARY)


# ---------------------------------------------------------------- values inside events


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


# ---------------------------------------------------------------- facts


@event("cluster.founded", 1)
@frozen
class ClusterFounded(Fact):
    cluster: ClusterName
    founder: MachineId
    ipv6_prefix: str
    """A /48 of unique local addresses: subnet 0 for machines, subnet 1 for workloads."""
    machine_ipv4_subnet: str
    workload_ipv4_subnet: str


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


@event("machine.lifecycle_changed", 1)
@frozen
class MachineLifecycleChanged(Fact):
    machine: MachineId
    lifecycle: Lifecycle


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


# ---------------------------------------------------------------- events of one machine


@event("node.started", 1)
@frozen
class NodeStarted(Event):
    machine: MachineId
    version: str


@event("fact.mirrored", 1)
@frozen
class FactMirrored(Event):
    """A fact, as the cluster's log has it. `position` is gapless; `hash` chains over the fact log."""

    position: int
    hash: bytes
    fact: Fact


@event("operation.ordered", 1)
@frozen
class OperationOrdered(Event):
    """What its coordinator was asked to do: what an operator's `resume` begins again from."""

    purpose: str
    manifest: str
    """Canonical JSON, with its intent."""


@event("operation.step_begun", 1)
@frozen
class StepBegun(Event):
    """Intent: appended before the effect. Without an outcome of the same operation, look at the world."""

    step: str
    detail: str


@event("operation.step_failed", 1)
@frozen
class StepFailed(Event):
    step: str
    code: Code
    text: str


@event("operation.finished", 1)
@frozen
class OperationFinished(Event):
    """The coordinator's own closing word: what `deploy show` prints beside the fact."""

    operation_id: OperationId
    kind: OperationKind
    namespace: Namespace
    committed: bool
    code: str
    """Empty when all went well, else the code of the problem."""
    text: str
    cutover_ms: int
    """From the last write the source could accept to the candidate's readiness and commit; 0: no service stopped."""
    duration_ms: int


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


@event("volume.receive_prepared", 1)
@frozen
class ReceivePrepared(Event):
    volume: VolumeRef
    base: str | None
    """By its name here; None: into nothing."""
    base_guid: int | None
    rolled_back: bool


@event("volume.sent", 1)
@frozen
class VolumeSent(Event):
    volume: VolumeRef
    target: MachineId
    base: str | None
    snapshot: str
    sent_bytes: int
    duration_ms: int


@event("volume.received", 1)
@frozen
class VolumeReceived(Event):
    volume: VolumeRef
    source: MachineId
    snapshot: str
    guid: int


@event("service.fenced", 1)
@frozen
class ServiceFenced(Event):
    """The start gate is closed: nothing of this service starts here until the operation is decided."""

    service: ServiceRef
    operation_id: OperationId


@event("service.unfenced", 1)
@frozen
class ServiceUnfenced(Event):
    service: ServiceRef
    operation_id: OperationId


@event("vote.cast", 1)
@frozen
class VoteCast(Event):
    """This machine's word on the final snapshots, as the fact store has it."""

    snapshots: tuple[SnapshotTaken, ...]


@event("image.received", 1)
@frozen
class ImageReceived(Event):
    image_id: str
    how: str
    """`present`, `pulled` or `copied`."""


@event("container.created", 1)
@frozen
class ContainerCreated(Event):
    slot: SlotRef
    container: str


@event("container.started", 1)
@frozen
class ContainerStarted(Event):
    slot: SlotRef
    container: str


@event("container.ready", 1)
@frozen
class ContainerReady(Event):
    slot: SlotRef
    container: str
    attempts: int


@event("container.stopped", 1)
@frozen
class ContainerStopped(Event):
    slot: SlotRef
    container: str


@event("container.removed", 1)
@frozen
class ContainerRemoved(Event):
    slot: SlotRef
    container: str


@event("container.exited", 1)
@frozen
class ContainerExited(Event):
    """By itself: nobody here stopped it."""

    slot: SlotRef
    container: str
    exit_code: int


@event("container.restarted", 1)
@frozen
class ContainerRestarted(Event):
    slot: SlotRef
    container: str
    reason: str


@event("address.claimed", 1)
@frozen
class AddressClaimed(Event):
    """A candidate's address is local before it is routed: only this machine reaches it here."""

    slot: SlotRef
    ipv6: str
    ipv4: str
