"""Facts of two machines, a service and its volume, for the folds."""

from __future__ import annotations

from attrs import evolve

from ployz.events.types import (
    ClusterFounded,
    DeployCommitted,
    Lifecycle,
    MachineJoined,
    OperationAborted,
    OperationKind,
    OperationStarted,
    RoundEvidence,
    SlotPlacement,
    VolumePlacement,
)
from ployz.ids import ClusterName, MachineId, Namespace, OperationId, ServiceName, ServiceRef, SlotName, VolumeRef

A, B = MachineId("machine-a"), MachineId("machine-b")
PRODUCTION = Namespace("production")
DB = ServiceRef.parse("production/db")
DATA = VolumeRef.parse("production/data")
FIRST, SECOND = OperationId("op-first"), OperationId("op-second")
FOUNDED = ClusterFounded(ClusterName("home"), A, "fd00:1::/48", "10.211.0.0/16", "10.210.0.0/16")

SLOT = SlotPlacement(
    service=ServiceName("db"),
    slot=SlotName("slot-1"),
    machine=A,
    ipv6="fd00:1:0:1::10",
    ipv4="10.210.0.16",
    image_id="sha256:1",
    template_hash="t",
    operation_id=FIRST,
)


def joined(machine: MachineId, number: int) -> MachineJoined:
    ipv6, ipv4 = f"fd00:1::{number}", f"10.211.0.{number}"
    return MachineJoined(machine, number, ipv6, ipv4, f"192.0.2.{number}:51820", f"key-{number}", Lifecycle.ACTIVE)


def started(operation_id: OperationId = FIRST, kind: OperationKind = OperationKind.DEPLOY) -> OperationStarted:
    return OperationStarted(operation_id, kind, PRODUCTION, A, (A, B), 7, "hash")


def deployed() -> DeployCommitted:
    """`db` with its volume on machine-a."""
    return DeployCommitted(
        operation_id=FIRST,
        kind=OperationKind.DEPLOY,
        namespace=PRODUCTION,
        manifest="first",
        slots=(SLOT,),
        volumes=(VolumePlacement(DATA, A, 1),),
        evidence=(),
    )


def migrated() -> DeployCommitted:
    """The same on machine-b, at epoch 2."""
    return DeployCommitted(
        operation_id=SECOND,
        kind=OperationKind.MIGRATE,
        namespace=PRODUCTION,
        manifest="second",
        slots=(evolve(SLOT, machine=B, operation_id=SECOND),),
        volumes=(VolumePlacement(DATA, B, 2),),
        evidence=(evidence(1), evidence(2)),
    )


def evidence(round_number: int) -> RoundEvidence:
    return RoundEvidence(DATA, round_number, None, f"round-{round_number}", round_number, 1, 1)


def aborted(operation_id: OperationId = SECOND) -> OperationAborted:
    return OperationAborted(operation_id, PRODUCTION, B, "the target is full")
