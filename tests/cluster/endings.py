"""How an operation of the simulated cluster ends, whatever struck it; and where in it something may strike."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from ployz.actors.messages.facts import Transact
from ployz.actors.messages.operations import ApplyMigration
from ployz.events.types import DeployCommitted, ServiceFenced
from ployz.facts.port import Transaction
from ployz.ids import MachineId, OperationId
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, A, B, C
from tests.cluster.network import Packet
from tests.cluster.scenes import (
    add_image,
    datasets,
    deploy,
    left_by,
    local_addresses,
    owner,
    running,
    slot_addresses,
)

D = MachineId("machine-d")
RESOLVED_S = 120.0
"""Lock, lease and every retry are over by then."""


async def moving(cluster: Cluster) -> None:
    """On B, with A the authority and C the target to be; D coordinates."""
    add_image(cluster)
    await deploy(cluster)
    outcome = await cluster.run(A, ApplyMigration(DB, B))
    assert outcome.exit_code == 0, outcome.text


async def ends(cluster: Cluster, operation_id: OperationId) -> Status:
    """Decided, and every machine that is on agrees with that."""
    view = cluster[A].parts.view
    await cluster.until(
        lambda: view.operations.status(operation_id) not in (None, Status.UNDECIDED),
        within_s=RESOLVED_S,
        what="it is decided",
    )
    status = view.operations.status(operation_id)
    assert status is not None
    target = C if status is Status.COMMITTED else B
    await cluster.until(
        lambda: running(cluster) == {target: ["db/slot-1"]}, within_s=RESOLVED_S, what=f"{status}: it runs on {target}"
    )
    await cluster.agreed()
    await anyio.sleep(RESOLVED_S)  # whatever is late
    assert running(cluster) == {target: ["db/slot-1"]}
    assert owner(cluster) == (target, 3 if status is Status.COMMITTED else 2)
    lost = C if target == B else B
    assert local_addresses(cluster, target) == slot_addresses(cluster, DB)
    assert local_addresses(cluster, lost) == frozenset()
    if status is Status.ABORTED:
        assert datasets(cluster, C) == []
        for name in cluster.machines:
            assert left_by(cluster, name, operation_id) == []
    for machine in cluster.machines.values():
        assert machine.parts.local.fences == {}
        assert machine.guards.leases == frozenset()
        assert machine.overlay.applied[-1].closed == frozenset()
        assert machine.overlay.applied[-1].hidden == frozenset()
    return status


def commits(transaction: Transaction) -> bool:
    return any(isinstance(each, DeployCommitted) for each in transaction.facts)


def commit_of(packet: Packet) -> bool:
    return isinstance(packet.message, Transact) and commits(packet.message.transaction)


def before(machine: MachineId, name: str) -> Callable[[Effect], bool]:
    return lambda effect: (effect.machine, effect.name, effect.done) == (machine, name, False)


def after(machine: MachineId, name: str) -> Callable[[Effect], bool]:
    return lambda effect: (effect.machine, effect.name, effect.done) == (machine, name, True)


def commit(effect: Effect) -> bool:
    return effect.name == "facts.transact" and commits(effect.args[0])


def fence(effect: Effect) -> bool:
    return effect.name == "log.append" and any(isinstance(each.event, ServiceFenced) for each in effect.args[0])


def on(machine: MachineId, which: Callable[[Effect], bool], *, done: bool) -> Callable[[Effect], bool]:
    return lambda effect: effect.machine == machine and effect.done == done and which(effect)
