"""Values for the tests of facts: one cluster of two machines, one service with one volume, and its migration."""

from __future__ import annotations

from attrs import evolve, frozen

from ployz.events.types import (
    ClusterFounded,
    DeployCommitted,
    Lifecycle,
    MachineIdentified,
    MachineJoined,
    OperationAborted,
    OperationKind,
    OperationStarted,
    SlotPlacement,
    SnapshotTaken,
    VolumePlacement,
)
from ployz.facts import keys
from ployz.facts.commit import Seen, commit
from ployz.facts.keys import LockHolder, VolumeOwnership, Vote
from ployz.facts.port import Applied, FactLog, Transaction
from ployz.facts.transactions import cast_vote, found_cluster, join_machine, start_operation
from ployz.ids import Certificate, ClusterName, MachineId, Namespace, OperationId, ServiceName, SlotName, VolumeRef

HOME = ClusterName("home")
A, B = MachineId("machine-a"), MachineId("machine-b")
PRODUCTION = Namespace("production")
DATA = VolumeRef.parse("production/data")
OP = OperationId("op-1")
FOUNDED = ClusterFounded(HOME, A, "fd00:1::/48", "10.211.0.0/16", "10.210.0.0/16")
SLOT = SlotPlacement(
    service=ServiceName("db"),
    slot=SlotName("slot-1"),
    machine=A,
    ipv6="fd00:1:0:1::5",
    ipv4="10.210.0.5",
    image_id="sha256:aa",
    template_hash="t1",
    operation_id=OperationId("op-0"),
)
SEEN = Seen(volumes={DATA: VolumeOwnership(A, 1)}, slots=(SLOT,))
FINAL = SnapshotTaken(DATA, "op-1-final", 77)
ABORTED = OperationAborted(OP, PRODUCTION, A, "the target is full")


KEY = "A" * 43 + "="
"""Of WireGuard: 32 bytes, and what becomes a fact is looked at."""


def joined(machine: MachineId, number: int, lifecycle: Lifecycle = Lifecycle.ACTIVE) -> MachineJoined:
    return MachineJoined(
        machine, number, f"fd00:1::{number}", f"10.211.0.{number}", f"192.0.2.{number}:51820", KEY, lifecycle
    )


def identified(machine: MachineId) -> MachineIdentified:
    return MachineIdentified(machine, Certificate("Y2VydA=="))


def founding(machine: MachineId, founded: ClusterFounded = FOUNDED) -> Transaction:
    return found_cluster(founded, joined(machine, 1), identified(machine))


def joining(
    machine: MachineId, number: int, cluster: ClusterName = HOME, lifecycle: Lifecycle = Lifecycle.ACTIVE
) -> Transaction:
    return join_machine(cluster, joined(machine, number, lifecycle), identified(machine))


def holder(operation_id: OperationId = OP, machine: MachineId = A) -> LockHolder:
    return LockHolder(machine, operation_id, "migrate production/db to machine-b", 1_700_000_000_000, "root")


def started(token: int, operation_id: OperationId = OP) -> OperationStarted:
    return OperationStarted(operation_id, OperationKind.MIGRATE, PRODUCTION, A, (A, B), token, "m1")


def committed(operation_id: OperationId = OP) -> DeployCommitted:
    """`db` and its volume are at machine-b, the volume at epoch 2."""
    return DeployCommitted(
        operation_id=operation_id,
        kind=OperationKind.MIGRATE,
        namespace=PRODUCTION,
        manifest="{}",
        slots=(evolve(SLOT, machine=B, operation_id=operation_id),),
        volumes=(VolumePlacement(DATA, B, 2),),
        evidence=(),
    )


def commit_of(token: int, operation_id: OperationId = OP) -> Transaction:
    return commit(committed(operation_id), by=A, lock_token=token, seen=SEEN, final_snapshots=(FINAL,))


async def applied(log: FactLog, transaction: Transaction) -> Applied:
    outcome = await log.transact(transaction)
    assert isinstance(outcome, Applied), outcome
    return outcome


async def take_lock(log: FactLog, ttl_s: float = 30, operation_id: OperationId = OP) -> tuple[int, int]:
    """The lease and the fencing token."""
    lease = await log.grant(ttl_s)
    record = keys.lock(PRODUCTION)
    taken = await applied(log, Transaction((record.absent(),), (record.put(holder(operation_id), lease),)))
    return lease, taken.revision


@frozen
class Migration:
    """Everything voted, nothing decided: `commit_of(token)` would be applied."""

    token: int
    lease: int
    started_at: int


async def ready_to_commit(log: FactLog) -> Migration:
    await applied(log, founding(A))
    await applied(log, joining(B, 2))
    await applied(log, Transaction((), (keys.volume(DATA).put(VolumeOwnership(A, 1)),)))
    lease, token = await take_lock(log)
    start = await applied(log, start_operation(started(token)))
    for machine in (A, B):
        await applied(log, cast_vote(OP, machine, Vote((FINAL,))))
    return Migration(token, lease, start.position)
