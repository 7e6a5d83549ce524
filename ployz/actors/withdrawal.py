"""What a source waits for after an abort, before its service may start again: that no candidate runs elsewhere."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

import anyio

from ployz.actors.core import Home
from ployz.actors.messages.workload import Withdraw
from ployz.actors.parts import Parts
from ployz.actors.together import first, together
from ployz.config import ASK_TIMEOUT_S, CANDIDATE_LEASE_S
from ployz.errors import PloyzError
from ployz.facts import keys
from ployz.ids import MachineId
from ployz.projections.operations import Operation

RETRY_S: Final = 1.0

_log = logging.getLogger("ployz.workloads")


async def candidates_gone(parts: Parts, home: Home, operation: Operation) -> None:
    """Returns when every other participant said so, or has no lease for candidates by the word of the authority: one
    that is dead had none, or it has ended. If neither can be asked: a whole lease after this machine knew of the abort.
    """
    others = [each for each in operation.participants if each != parts.me]
    with anyio.move_on_after(CANDIDATE_LEASE_S) as lease:
        await together(*(partial(_gone, parts, home, each, operation) for each in others))
    if lease.cancelled_caught:
        _log.warning("%s: not every participant answered; its candidates' lease is over", operation.operation_id)


async def _gone(parts: Parts, home: Home, machine: MachineId, operation: Operation) -> None:
    await first(
        partial(_withdrawn, home, machine, operation),
        partial(_without_lease, parts, machine, operation),
    )


async def _withdrawn(home: Home, machine: MachineId, operation: Operation) -> None:
    ref = home.remote(machine, "workloads")
    while True:
        try:
            await ref.ask(Withdraw(operation.operation_id, operation.position), timeout_s=ASK_TIMEOUT_S)
        except PloyzError:
            await anyio.sleep(RETRY_S)
        else:
            return


async def _without_lease(parts: Parts, machine: MachineId, operation: Operation) -> None:
    record = keys.candidates(operation.operation_id, machine)
    while True:
        try:
            if await record.read(parts.facts) is None:
                return
        except PloyzError:
            pass  # the authority is away: the other ways remain
        await anyio.sleep(RETRY_S)
