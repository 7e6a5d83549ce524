"""The lease of candidates: they run here while the facts still place their slots on another machine.

It is a lease of the fact log, with a record under it that says where candidates may run. Each third of it, it is
renewed and the decision read again. A machine that cannot read "undecided" any more removes its candidates before the
lease is over, and when ployzd is dead their guards do. So where there is no such record after an abort, there is no
candidate, and a source may start the service again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import anyio
from attrs import define, field

from ployz.actors.parts import Parts
from ployz.config import CANDIDATE_LEASE_S
from ployz.errors import Code, PloyzError, Refused
from ployz.facts import keys
from ployz.facts.keys import Decision, Verdict
from ployz.facts.port import Conflict
from ployz.facts.transactions import run_candidates
from ployz.ids import OperationId, SlotRef
from ployz.projections.operations import Status

LOOK_EVERY_S: Final = CANDIDATE_LEASE_S / 3
RETRY_S: Final = 1.0
REMOVE_S: Final = 3.0
"""Of the lease's end is kept for the removal itself."""
KILL_S: Final = 2.0
"""Of the lease's end is kept for the guard, which comes after ployzd's own removal."""
RESUME_S: Final = 5.0
"""How long a ployzd that finds a candidate at its start may take to read that it is undecided."""

Remove = Callable[[SlotRef, str], Awaitable[None]]
"""(slot, container): killed if it runs."""

_log = logging.getLogger("ployz.workloads")


@define
class _Lease:
    """Of one operation: a namespace has one in flight at most."""

    operation_id: OperationId
    good_s: float
    """When the last renewal that was answered, and found it undecided, was *sent*."""
    number: int = 0
    """Of the fact log's lease; 0: a ployzd before this one took it, and this one takes another."""
    containers: dict[str, SlotRef] = field(factory=dict)

    @property
    def ends_s(self) -> float:
        return self.good_s + CANDIDATE_LEASE_S - REMOVE_S


def _guarded_until_s(good_s: float) -> float:
    return good_s + CANDIDATE_LEASE_S - KILL_S


class CandidateLease:
    """One namespace's candidates. `run` is a background task of the actor that owns it."""

    def __init__(self, parts: Parts, remove: Remove) -> None:
        self._parts = parts
        self._remove = remove
        self._lease: _Lease | None = None
        self._news = anyio.Event()
        self._renewing = anyio.Lock()

    async def take(self, operation_id: OperationId, slot: SlotRef, container: str) -> None:
        """Before the candidate is started. `Refused` (DECIDED) and `Unreachable`: it must not be."""
        sent_s = self._now_s()
        lease = self._of(operation_id, sent_s)
        if await self._renewed(lease) is not None:
            raise Refused(Code.DECIDED, f"operation {operation_id} is decided: {container} does not start any more")
        await self._parts.guards.guard(container, _guarded_until_s(sent_s))
        self._hold(lease, slot, container)

    async def resume(self, operation_id: OperationId, slot: SlotRef, container: str) -> None:
        """A candidate that was found running goes on with the lease that it has: a ployzd before this one took it."""
        if self._lease is not None and container in self._lease.containers:
            return
        guarded_until_s = await self._parts.guards.until_s(container)
        if guarded_until_s is None:
            guarded_until_s = self._now_s() + RESUME_S + REMOVE_S - KILL_S
            await self._parts.guards.guard(container, guarded_until_s)
        self._hold(self._of(operation_id, guarded_until_s + KILL_S - CANDIDATE_LEASE_S), slot, container)

    async def release_committed(self) -> bool:
        """By the facts that are here, it is a candidate no more: nobody needs to be asked."""
        lease = self._lease
        if lease is None or self._parts.view.operations.status(lease.operation_id) is not Status.COMMITTED:
            return False
        await self._release(lease)
        return True

    async def run(self) -> None:
        while True:
            self._news = anyio.Event()
            wait_s = self._lease.good_s + LOOK_EVERY_S - self._now_s() if self._lease else float("inf")
            with anyio.move_on_after(max(wait_s, 0)) as waiting:
                await self._news.wait()
            # Not by asking the clock again: rounding can make it say "not yet", with nothing left to wait for.
            if waiting.cancelled_caught and self._lease is not None:
                await self._look(self._lease)

    def _of(self, operation_id: OperationId, good_s: float) -> _Lease:
        """The one that the operation has here, or a new one."""
        held = self._lease
        return held if held is not None and held.operation_id == operation_id else _Lease(operation_id, good_s)

    def _hold(self, lease: _Lease, slot: SlotRef, container: str) -> None:
        self._lease = lease
        lease.containers[container] = slot
        self._news.set()

    async def _look(self, lease: _Lease) -> None:
        sent_s = self._now_s()
        try:
            if await self.release_committed():
                return
            with anyio.fail_after(max(lease.ends_s - sent_s, 0)):
                decision = await self._renewed(lease)
                if decision is None:
                    await self._renew_guards(lease, sent_s)
        except (PloyzError, TimeoutError) as error:
            if self._now_s() < lease.ends_s:
                await anyio.sleep(min(RETRY_S, lease.ends_s - self._now_s()))
                return
            _log.warning("%s could not be read as undecided for too long: %s", lease.operation_id, error)
            await self._end(lease)
        else:
            if decision is not None and decision.verdict is Verdict.COMMIT:
                await self._release(lease)
            elif decision is not None:
                await self._end(lease)

    async def _renewed(self, lease: _Lease) -> Decision | None:
        """None: it is undecided, and stands for a whole lease from now on. The end of one lease is no harm while it
        is undecided: another takes its place, and what was guarded until then was guarded by the first.
        """
        facts, operation_id = self._parts.facts, lease.operation_id
        async with self._renewing:
            if lease.number and await facts.keep_alive(lease.number):
                decision = await keys.decision(operation_id).read(facts)
                return decision.value if decision else None
            number = await facts.grant(CANDIDATE_LEASE_S)
            outcome = await facts.transact(run_candidates(operation_id, self._parts.me, number))
            if isinstance(outcome, Conflict):
                return keys.decision(operation_id).decode(outcome.found or b"")
            lease.number = number
            return None

    async def _renew_guards(self, lease: _Lease, sent_s: float) -> None:
        for container in lease.containers:
            await self._parts.guards.renew(container, _guarded_until_s(sent_s))
        lease.good_s = sent_s

    async def _release(self, lease: _Lease) -> None:
        for container in lease.containers:
            if not await self._parts.guards.killed(container):  # else it has to be started again first
                await self._parts.guards.release(container)
        with suppress(PloyzError):  # it ends by itself
            await self._parts.facts.revoke(lease.number)
        self._forget(lease)

    async def _end(self, lease: _Lease) -> None:
        try:
            for container, slot in lease.containers.items():
                await self._remove(slot, container)
        except PloyzError as error:
            _log.error("a candidate of %s could not be removed: %s", lease.operation_id, error)
            await anyio.sleep(RETRY_S)
        else:
            self._forget(lease)

    def _forget(self, lease: _Lease) -> None:
        if self._lease is lease:
            self._lease = None

    def _now_s(self) -> float:
        return self._parts.clock.monotonic_s()
