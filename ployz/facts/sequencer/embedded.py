"""The fact log on SQLite: durable when it answers, for the machine that founded the cluster.

The same meaning as `memory`, by the same rules; here is only what a file and a thread add to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from sqlite_utils import Database

from ployz.clock import Clock
from ployz.events.connection import Connection
from ployz.facts.leases import Leases, check_ttl
from ployz.facts.news import News
from ployz.facts.port import Applied, Conflict, Held, SequencedFact, Transaction
from ployz.facts.rules import WAIT_S_MAX, Change, evaluate, page_size
from ployz.facts.sequencer import tables


class EmbeddedFactLog:
    """One process has the file open. After a failed commit it answers nothing until it is opened again.

    When leases end is known in memory only. After a restart each lives one full ttl more: a lease may end late,
    when its holder has long stopped believing in it, but never early.
    """

    def __init__(self, connection: Connection, clock: Clock, position: int, leases: Leases) -> None:
        self._connection = connection
        self._clock = clock
        self._position = position
        self._leases = leases
        self._news = News()

    @classmethod
    async def open(cls, path: Path, clock: Clock) -> Self:
        """Makes the file if it is not there; walks the chain if it is.

        `Refused`: in use (LOG_LOCKED), of a newer ployz (LOG_NEWER). `Corrupt` (LOG_CORRUPT, UNKNOWN_EVENT,
        MALFORMED_EVENT): not a fact log, or damaged. `Failed` (LOG_FAILED): the storage does not work.
        """
        connection = await Connection.open(path, tables.FACT_LOG)
        try:
            await connection.read(tables.verify)
            head = await connection.read(tables.head)
            leases = Leases()
            for lease, ttl_s in await connection.read(tables.leases):
                leases.begin(lease, ttl_s, clock.monotonic_s())
        except BaseException:
            await connection.aclose()
            raise
        return cls(connection, clock, head.position, leases)

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        await self._end_due_leases()
        at_ms = self._clock.wall_ms()

        def work(database: Database) -> Change | Conflict:
            outcome = evaluate(
                transaction,
                tables.head(database),
                read=lambda key: tables.held(database, key),
                lease_stands=lambda lease: tables.lease_stands(database, lease),
                at_ms=at_ms,
            )
            if isinstance(outcome, Change):
                tables.store(database, outcome)
            return outcome

        outcome = await self._connection.write(work)
        if isinstance(outcome, Conflict):
            return outcome
        if outcome.facts:
            self._position = max(self._position, outcome.head.position)
            self._news.spread()
        return outcome.applied

    async def read(self, key: str) -> Held | None:
        await self._end_due_leases()
        return await self._connection.read(lambda database: tables.held(database, key))

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        await self._end_due_leases()
        return await self._connection.read(lambda database: list(tables.records(database, prefix)))

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        await self._news.wait(lambda: self._position > after, min(wait_s, WAIT_S_MAX))
        return await self._connection.read(lambda database: tables.facts(database, after, page_size(limit)))

    async def grant(self, ttl_s: float) -> int:
        check_ttl(ttl_s)
        lease = await self._connection.write(lambda database: tables.add_lease(database, ttl_s))
        self._leases.begin(lease, ttl_s, self._clock.monotonic_s())
        return lease

    async def keep_alive(self, lease: int) -> bool:
        await self._end_due_leases()
        return self._leases.renew(lease, self._clock.monotonic_s())

    async def revoke(self, lease: int) -> None:
        await self._end([lease])

    async def _end_due_leases(self) -> None:
        """Durably, before anybody is told that the record is gone: a restart must not bring it back."""
        due = self._leases.due(self._clock.monotonic_s())
        if due:
            await self._end(due)

    async def _end(self, leases: Sequence[int]) -> None:
        await self._connection.write(lambda database: tables.end_leases(database, leases))
        self._leases.forget(leases)
