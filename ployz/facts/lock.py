"""The lock of a namespace: one operation at a time changes it, and a dead one stops holding it by itself.

A lease at the authority plus a fencing token. The holder stops believing well before the lease ends; and should both
be wrong, the commit compares the token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio

from ployz.clock import Clock
from ployz.errors import Code, Failed, PloyzError, Refused, Unreachable
from ployz.facts import keys
from ployz.facts.conflicts import held_by
from ployz.facts.keys import LockHolder
from ployz.facts.port import Conflict, FactLog, Transaction
from ployz.ids import Namespace

LEASE_S: Final = 30.0
RENEW_EVERY_S: Final = 10.0
LOST_AFTER_S: Final = 20.0
"""After the last good renewal was *sent*. The 10 s up to the end of the lease are for what was begun meanwhile."""
RETRY_AFTER_S: Final = 1.0
"""After a renewal, or a release, without an answer."""
RELEASE_WITHIN_S: Final = 5.0
"""A release that takes longer is left to the end of the lease."""


class NamespaceLock:
    """Held, until `lost` is set. Made by `hold`."""

    def __init__(self, log: FactLog, clock: Clock, namespace: Namespace, lease: int, token: int, sent_s: float) -> None:
        self.namespace = namespace
        self.token = token
        """The revision that wrote the lock: what every transaction under this lock compares."""
        self.lost = anyio.Event()
        self._log = log
        self._clock = clock
        self._lease = lease
        self._believed_until_s = sent_s + LOST_AFTER_S

    def check(self) -> None:
        """`Failed` (LOCK_LOST) from 20 s after the last good renewal was sent, and then for good."""
        if self._clock.monotonic_s() >= self._believed_until_s:
            self.lost.set()
        if self.lost.is_set():
            raise Failed(
                Code.LOCK_LOST,
                f"the lock of {self.namespace} was lost: it could not be renewed in time",
                "Run it again when the authority can be reached.",
            )

    async def renew_until_lost(self) -> None:
        """Ends when the lock is lost; else it is cancelled with the scope that holds it."""
        next_s = self._believed_until_s - LOST_AFTER_S + RENEW_EVERY_S
        while not self.lost.is_set():
            await anyio.sleep(max(0, min(next_s, self._believed_until_s) - self._clock.monotonic_s()))
            sent_s = self._clock.monotonic_s()
            lives = await self._renew(self._believed_until_s - sent_s)
            if lives is False or self._clock.monotonic_s() >= self._believed_until_s:
                self.lost.set()
            elif lives:
                self._believed_until_s = sent_s + LOST_AFTER_S
                next_s = sent_s + RENEW_EVERY_S
            else:
                next_s = self._clock.monotonic_s() + RETRY_AFTER_S

    async def _renew(self, within_s: float) -> bool | None:
        """None: no answer."""
        with anyio.move_on_after(within_s):
            try:
                return await self._log.keep_alive(self._lease)
            except PloyzError:
                return None
        return None


@asynccontextmanager
async def hold(log: FactLog, clock: Clock, namespace: Namespace, holder: LockHolder) -> AsyncIterator[NamespaceLock]:
    """Locks, renews in the background, and releases at the end.

    `Refused` (LOCK_HELD) at once when somebody else holds it. `Unreachable`: the authority gave no answer; what may
    be left of the lock lapses by itself.
    """
    sent_s = clock.monotonic_s()  # before the authority's clock starts to count: an error on the safe side
    lease = await log.grant(LEASE_S)
    failure: Exception | None = None
    try:
        lock = NamespaceLock(log, clock, namespace, lease, await _take(log, namespace, holder, lease), sent_s)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lock.renew_until_lost)
            try:
                yield lock
            except Exception as error:  # noqa: BLE001 - raised again below, outside: a task group would wrap it
                failure = error
            tasks.cancel_scope.cancel()
    finally:
        await _release(log, lease)
    if failure is not None:
        raise failure


async def _take(log: FactLog, namespace: Namespace, holder: LockHolder, lease: int) -> int:
    record = keys.lock(namespace)
    outcome = await log.transact(Transaction(compares=(record.absent(),), puts=(record.put(holder, lease),)))
    if not isinstance(outcome, Conflict):
        return outcome.revision
    raise refusal(namespace, record.decode(outcome.found or b""))


def refusal(namespace: Namespace, other: LockHolder) -> Refused:
    """What everybody else is told while `other` holds the lock."""
    return Refused(
        Code.LOCK_HELD,
        held_by(namespace, other),
        f"Wait until it has ended: ployzctl operation show {other.operation_id}. If its coordinator died, the lock "
        f"lapses within {LEASE_S:.0f} s.",
    )


async def _release(log: FactLog, lease: int) -> None:
    """Asks again for a while: an authority that is restarted meanwhile would hold the namespace a lease longer."""
    with anyio.move_on_after(RELEASE_WITHIN_S, shield=True):
        while True:
            try:
                return await log.revoke(lease)
            except Unreachable:
                await anyio.sleep(RETRY_AFTER_S)
            except PloyzError:
                return None  # it lapses by itself
