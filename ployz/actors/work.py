"""What the parts of a running operation share: its plan, its place in the fact log, and its story."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from attrs import frozen

from ployz.actors.core import Home
from ployz.actors.parts import Parts
from ployz.actors.ref import Ref
from ployz.actors.story import Story
from ployz.actors.together import together
from ployz.config import ASK_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.events.types import OperationAborted
from ployz.facts.conflicts import accepted
from ployz.facts.port import Transaction
from ployz.ids import MachineId, OperationId
from ployz.manifest import Manifest
from ployz.plan import committed
from ployz.plan.model import Plan
from ployz.plan.reports import MachineReport


@frozen
class Work:
    """An operation that was started: everything its effects are asked for with."""

    parts: Parts
    home: Home
    story: Story
    operation_id: OperationId
    plan: Plan
    reports: dict[MachineId, MachineReport]
    position: int
    """Of its OperationStarted fact."""

    @property
    def manifest(self) -> Manifest:
        return committed.from_fact(self.plan.manifest)

    def workload(self, machine: MachineId) -> Ref:
        return self.home.remote(machine, f"workload/{self.plan.namespace}")

    def aborted(self, reason: str) -> OperationAborted:
        return OperationAborted(self.operation_id, self.plan.namespace, self.parts.me, reason)


async def catch_up(parts: Parts) -> None:
    """Until this machine's mirror has everything that the fact log had when it was asked."""
    while page := await parts.facts.facts(parts.view.position, limit=1, wait_s=0):
        await parts.mirror.wait_for(page[-1].position, ASK_TIMEOUT_S)


async def transact(parts: Parts, transaction: Transaction) -> int:
    """The position of the last fact, once this machine's view has it. `Refused`: a condition did not hold."""
    position = accepted(await parts.facts.transact(transaction)).position
    await parts.mirror.wait_for(position, ASK_TIMEOUT_S)
    return position


async def failures(machines: Iterable[MachineId], call: Callable[[MachineId], Awaitable[None]]) -> dict[MachineId, str]:
    """Calls for all of them side by side, and says which failed and why. One failure stops no other."""
    failed: dict[MachineId, str] = {}

    async def one(machine: MachineId) -> None:
        try:
            await call(machine)
        except PloyzError as error:
            failed[machine] = error.problem.text

    await together(*(partial(one, machine) for machine in machines))
    return failed
