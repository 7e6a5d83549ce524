"""Operations that are not decided: where they stand, and their end by somebody else than their coordinator.

Any machine may decide one as an abort. The first decision counts, and a commit that comes later is refused.
"""

from __future__ import annotations

import logging
from typing import Final

import anyio
from attrs import frozen

from ployz.actors.core import Home
from ployz.actors.messages.operations import AskPhase
from ployz.actors.parts import Parts
from ployz.actors.work import catch_up
from ployz.config import PROBE_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import OperationAborted
from ployz.facts import keys
from ployz.facts.decision import abort_or_read
from ployz.facts.keys import Decision
from ployz.facts.lock import LEASE_S
from ployz.projections.operations import Operation, Status

ABANDONED: Final = "abandoned"
UNKNOWN: Final = "unknown"
LOCK_LOOK_S: Final = 1.0

_log = logging.getLogger("ployz.operations")


@frozen
class Undecided:
    parts: Parts
    home: Home

    # ------------------------------------------------------------ looking

    async def phase(self, operation: Operation) -> str:
        """Empty: it is decided. Else its phase, `abandoned`, or `unknown` where the coordinator does not answer."""
        if operation.status is not Status.UNDECIDED:
            return ""
        try:
            now = await self.home.remote(operation.coordinator, "operations").ask(
                AskPhase(operation.operation_id), timeout_s=PROBE_TIMEOUT_S
            )
        except PloyzError:
            return UNKNOWN
        return now.phase or ABANDONED

    async def words(self, operation: Operation) -> str:
        """One sentence for an operator. Empty: it is decided."""
        phase = await self.phase(operation)
        if phase in (UNKNOWN, ABANDONED):
            does_not = "does not answer" if phase == UNKNOWN else "was restarted, and does not carry it out any more"
            who = ", ".join(operation.participants)
            return (
                f"{operation.coordinator} {does_not}. Once its lock has lapsed, at most {LEASE_S:.0f} s after it went "
                f"away, the first of {who} to see that aborts it, unless it is committed by then"
            )
        return f"in phase {phase} on {operation.coordinator}" if phase else ""

    # ------------------------------------------------------------ ending

    async def abort(self, operation: Operation, by_whom: str) -> Operation:
        """By an operator's word. `Refused` (DECIDED): it is decided, and how. What was done is undone after this."""
        check_undecided(operation)
        decided = await self.end(operation, f"an operator asked for it: {by_whom}")
        if decided.status is Status.COMMITTED:
            check_undecided(decided)
        return decided

    async def end(self, operation: Operation, reason: str) -> Operation:
        """Aborts it unless it is decided, and says how it was decided."""
        await self._decide(operation, reason)
        await catch_up(self.parts)
        return self.parts.view.operations[operation.operation_id]

    async def resolve(self, operation: Operation) -> None:
        """Aborts what has lost its lock; what still has it is its coordinator's."""
        try:
            lock = await keys.lock(operation.namespace).read(self.parts.facts)
            if lock is not None and lock.revision == operation.lock_token:
                return
            decision = await self._decide(operation, f"its coordinator {operation.coordinator} lost the lock")
        except PloyzError as error:
            _log.warning("%s is undecided, and cannot be resolved yet: %s", operation.operation_id, error)
        else:
            _log.warning("%s was left undecided: %s by %s", operation.operation_id, decision.verdict, decision.by)

    async def wait_for_lock(self, operation: Operation) -> None:
        """Until the lock of a coordinator that died with it has lapsed: nothing else of the namespace begins before."""
        with anyio.move_on_after(LEASE_S):
            while (lock := await keys.lock(operation.namespace).read(self.parts.facts)) is not None:
                if lock.revision != operation.lock_token:
                    return
                await anyio.sleep(LOCK_LOOK_S)

    async def _decide(self, operation: Operation, reason: str) -> Decision:
        aborted = OperationAborted(operation.operation_id, operation.namespace, self.parts.me, reason)
        return await abort_or_read(self.parts.facts, aborted)


def check_undecided(operation: Operation) -> None:
    """`Refused` (DECIDED), with how."""
    if operation.status is not Status.UNDECIDED:
        how = f"{operation.status}: {operation.reason}" if operation.reason else str(operation.status)
        raise Refused(
            Code.DECIDED,
            f"operation {operation.operation_id} is decided: {how}",
            f"ployzctl operation show {operation.operation_id}",
        )
