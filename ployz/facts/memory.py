"""The fact log in memory: the reference for what the port means, for tests and simulation.

Every method is one step: it yields to the scheduler first, and then happens at once or, cancelled, not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from anyio.lowlevel import checkpoint
from attrs import frozen

from ployz.clock import Clock
from ployz.facts.leases import Leases, check_ttl
from ployz.facts.news import News
from ployz.facts.port import Applied, Conflict, Held, Put, SequencedFact, Transaction
from ployz.facts.rules import WAIT_S_MAX, Head, evaluate, page_size


@frozen
class _Stored:
    held: Held
    lease: int


class MemoryFactLog:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._head = Head()
        self._records: dict[str, _Stored] = {}
        self._facts: list[SequencedFact] = []
        self._leases = Leases()
        self._lease_numbers = count(1)
        self._news = News()

    @property
    def position(self) -> int:
        """Of the last fact."""
        return self._head.position

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        await self._step()
        outcome = evaluate(
            transaction,
            self._head,
            read=self._held,
            lease_stands=self._leases.stands,
            at_ms=self._clock.wall_ms(),
        )
        if isinstance(outcome, Conflict):
            return outcome
        for write in outcome.writes:
            if isinstance(write, Put):
                self._records[write.key] = _Stored(Held(write.value, outcome.head.revision), write.lease)
            else:
                self._records.pop(write.key, None)
        self._facts += outcome.facts
        self._head = outcome.head
        if outcome.facts:
            self._news.spread()
        return outcome.applied

    async def read(self, key: str) -> Held | None:
        await self._step()
        return self._held(key)

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        await self._step()
        return [(key, self._records[key].held) for key in sorted(self._records) if key.startswith(prefix)]

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        await self._step()
        await self._news.wait(lambda: self._head.position > after, min(wait_s, WAIT_S_MAX))
        start = max(after, 0)
        return self._facts[start : start + page_size(limit)]

    async def grant(self, ttl_s: float) -> int:
        check_ttl(ttl_s)
        await self._step()
        lease = next(self._lease_numbers)
        self._leases.begin(lease, ttl_s, self._clock.monotonic_s())
        return lease

    async def keep_alive(self, lease: int) -> bool:
        await self._step()
        return self._leases.renew(lease, self._clock.monotonic_s())

    async def revoke(self, lease: int) -> None:
        await self._step()
        self._end([lease])

    def _held(self, key: str) -> Held | None:
        stored = self._records.get(key)
        return None if stored is None else stored.held

    async def _step(self) -> None:
        await checkpoint()
        self._end(self._leases.due(self._clock.monotonic_s()))

    def _end(self, leases: Sequence[int]) -> None:
        self._leases.forget(leases)
        for key in [key for key, stored in self._records.items() if stored.lease and stored.lease in leases]:
            del self._records[key]
