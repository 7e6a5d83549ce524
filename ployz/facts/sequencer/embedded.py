"""The fact log on SQLite: durable when it answers, for the machine that founded the cluster.

The same meaning as `memory`, by the same rules; here is only what a file and a thread add to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Connection as Database
from typing import Final, Self

from ployz.clock import Clock
from ployz.errors import Code, Failed, Refused
from ployz.events.connection import Connection, End
from ployz.facts.keys import MOVE, Move
from ployz.facts.leases import Leases, check_ttl
from ployz.facts.news import News
from ployz.facts.port import Applied, Conflict, Held, SequencedFact, Transaction
from ployz.facts.rules import WAIT_S_MAX, Change, Head, evaluate, page_size
from ployz.facts.sequencer import seal, tables

FACTS_END: Final = End(tables.mark, tables.has, tables.RESTORE)


class EmbeddedFactLog:
    """One process has the file open. After a failed commit it answers nothing until it is opened again.

    When leases end is known in memory only. After a restart each lives one full ttl more: a lease may end late,
    when its holder has long stopped believing in it, but never early.
    """

    def __init__(
        self, connection: Connection, clock: Clock, position: int, leases: Leases, move: Move | None = None
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._position = position
        self._leases = leases
        self._move = move
        self._news = News()

    @classmethod
    async def open(cls, path: Path, clock: Clock, *, checked: int | None = None) -> Self:
        """Makes the file if it is not there; walks the chain if it is, or the last `checked` facts of it.

        `Refused`: in use (LOG_LOCKED), of a newer ployz (LOG_NEWER). `Corrupt` (LOG_CORRUPT, UNKNOWN_EVENT,
        MALFORMED_EVENT): not a fact log, or damaged. `Failed` (LOG_FAILED): the storage does not work.
        """
        connection = await Connection.open(path, tables.FACT_LOG, FACTS_END)
        try:
            await connection.write(seal.make)
            await connection.read(lambda database: tables.verify(database, checked))
            head = await connection.read(tables.head)
            leases = Leases()
            for lease, ttl_s in await connection.read(tables.leases):
                leases.begin(lease, ttl_s, clock.monotonic_s())
            move = await connection.read(lambda database: tables.held(database, MOVE.text))
        except BaseException:
            await connection.aclose()
            raise
        return cls(connection, clock, head.position, leases, None if move is None else MOVE.decode(move.value))

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        await self._end_due_leases()
        at_ms = self._clock.wall_ms()

        def work(database: Database) -> Change | Conflict:
            self._require_here(changing=True)  # in the one thread, after every transaction that came before
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
        self._require_here()
        await self._end_due_leases()
        return await self._connection.read(lambda database: tables.held(database, key))

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        self._require_here()
        await self._end_due_leases()
        return await self._connection.read(lambda database: list(tables.records(database, prefix)))

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        await self._news.wait(lambda: self._position > after or self._is_away, min(wait_s, WAIT_S_MAX))
        self._require_here()
        return await self._connection.read(lambda database: tables.facts(database, after, page_size(limit)))

    async def grant(self, ttl_s: float) -> int:
        check_ttl(ttl_s)
        self._require_here(changing=True)
        lease = await self._connection.write(lambda database: tables.add_lease(database, ttl_s))
        self._leases.begin(lease, ttl_s, self._clock.monotonic_s())
        return lease

    async def keep_alive(self, lease: int) -> bool:
        self._require_here()
        await self._end_due_leases()
        return self._leases.renew(lease, self._clock.monotonic_s())

    async def revoke(self, lease: int) -> None:
        self._require_here()
        await self._end([lease])

    # ------------------------------------------------------------ moving away

    async def verify(self) -> None:
        """`Corrupt` (LOG_CORRUPT): the chain is broken somewhere, however long ago."""
        await self._connection.read(tables.verify)

    @property
    def move(self) -> Move | None:
        """Whether it is being moved, or was."""
        return self._move

    async def seal(self, move: Move) -> Head:
        """From here on nothing is committed here, for good. Returns where the log ends.

        `Refused` (LOCK_HELD): a record stands under a lease, so that somebody is changing something.
        """
        await self._end_due_leases()

        def work(database: Database) -> Head:
            if (key := tables.leased(database)) is not None:
                raise Refused(
                    Code.LOCK_HELD,
                    f"{key} is held: an operation is going on, or has just ended",
                    "Try again when it has.",
                )
            tables.put_beside(database, MOVE.text, MOVE.encode(move))
            # Not on the disk yet, but whatever this thread does after it comes after it there too.
            self._move = move
            return tables.head(database)

        before = self._move
        try:
            head = await self._connection.write(work)
        except (Refused, Failed):  # nothing was written
            self._move = before
            raise
        self._news.spread()
        return head

    async def head(self) -> Head:
        return await self._connection.read(tables.head)

    async def everything(self, after: int) -> Sequence[SequencedFact]:
        """The facts for whoever copies them, also when the log orders nothing any more."""
        return await self._connection.read(lambda database: tables.facts(database, after, page_size(1_000)))

    async def records(self) -> Sequence[tuple[str, Held]]:
        """All that outlives a lease, but the word about the move itself."""
        found = await self._connection.read(lambda database: list(tables.records(database, "")))
        return [each for each in found if each[0] != MOVE.text]

    async def copy_to(self, path: Path) -> None:
        """All of it, as of one instant. `Refused` (FACTS_MOVED, FACTS_MOVING): it is no more the fact log."""
        self._require_here(changing=True)
        await self._connection.read(lambda database: database.execute("VACUUM INTO ?", (str(path),)))

    @property
    def _is_away(self) -> bool:
        return self._move is not None and self._move.done

    def _require_here(self, *, changing: bool = False) -> None:
        """`Refused` (FACTS_MOVED, and FACTS_MOVING for what would change something)."""
        if self._is_away:
            raise Refused(Code.FACTS_MOVED, "the fact log is in etcd now", "ployzctl cluster status")
        if self._move is not None and changing:
            raise Refused(
                Code.FACTS_MOVING,
                "the fact log is being moved to etcd, and commits nothing meanwhile",
                "Try again in a moment. If that does not end, run the same `ployzctl cluster promote` again.",
            )

    async def _end_due_leases(self) -> None:
        """Durably, before anybody is told that the record is gone: a restart must not bring it back."""
        due = self._leases.due(self._clock.monotonic_s())
        if due:
            await self._end(due)

    async def _end(self, leases: Sequence[int]) -> None:
        await self._connection.write(lambda database: tables.end_leases(database, leases))
        self._leases.forget(leases)
