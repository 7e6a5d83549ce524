"""What is left to do of an operation that has ended: its clean-up after a commit, or all of it again after an abort."""

from __future__ import annotations

from ployz.actors.coordinator import ORDER_STEP
from ployz.actors.core import Home
from ployz.actors.messages.workload import Settle
from ployz.actors.parts import Parts
from ployz.actors.work import failures
from ployz.config import EFFECT_TIMEOUT_S
from ployz.errors import CleanupPending, Code, Refused
from ployz.events.types import OperationOrdered
from ployz.ids import MachineId
from ployz.projections.operations import Operation


async def finish(parts: Parts, home: Home, operation: Operation) -> None:
    """What a machine still has to do after the commit, done while the operator waits. `CleanupPending`: who cannot."""

    async def settled(machine: MachineId) -> None:
        workload = home.remote(machine, f"workload/{operation.namespace}")
        await workload.ask(Settle(parts.view.position), timeout_s=EFFECT_TIMEOUT_S)

    pending = await failures(operation.participants, settled)
    if pending:
        where = "; ".join(f"{machine}: {why}" for machine, why in sorted(pending.items()))
        raise CleanupPending(
            Code.CLEANUP_PENDING,
            f"{operation.operation_id} is committed, and these machines have not finished: {where}",
            f"They finish by themselves. To ask them again: ployzctl operation resume {operation.operation_id}",
        )


async def order_of(parts: Parts, operation: Operation) -> OperationOrdered:
    """What this machine was asked to do, from its own log. `Refused`: it is not there, or it would undo a later change
    of the namespace (PLAN_STALE).
    """
    order = await parts.log.find(operation.operation_id, ORDER_STEP)
    if order is None or not isinstance(order.event, OperationOrdered):
        raise Refused(
            Code.UNKNOWN_DEPLOY,
            f"the log of {parts.me} does not say what {operation.operation_id} was asked to do",
            "Give the command again.",
        )
    state = parts.view.placement.namespace(operation.namespace)
    if state is not None and state.position > operation.position:
        raise Refused(
            Code.PLAN_STALE,
            f"{operation.namespace} was changed since {operation.operation_id} ended",
            "Look at what is there now, and give the command again.",
        )
    return order.event
