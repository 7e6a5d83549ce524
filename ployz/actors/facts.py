"""The facts actor, at the founding machine: the embedded fact log, for every machine; and the port to reach it.

When the facts have moved to etcd it is still there, for machines that do not know yet: it says so, and where to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from ployz.actors.core import Actor, handles
from ployz.actors.messages.authority import AskWhere, FactsWhere
from ployz.actors.messages.facts import (
    FactsPage,
    FollowFacts,
    GrantLease,
    KeepAlive,
    LeaseAlive,
    LeaseGranted,
    ListRecords,
    Outcome,
    ReadRecord,
    RecordRead,
    RecordsListed,
    RevokeLease,
    Transact,
)
from ployz.actors.ref import Ref
from ployz.config import MACHINES_MAX
from ployz.errors import Code, Refused
from ployz.facts.port import Applied, Conflict, FactLog, Held, SequencedFact, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.facts.wellformed import check_facts
from ployz.wire.message import Done

ANSWER_S: Final = 5.0
"""An authority that gives no answer for so long is away. Nothing here takes long but a long poll."""


class FactsActor(Actor):
    """`facts`."""

    concurrent_max = 4 * MACHINES_MAX  # every machine's mirror waits here for the next fact, all the time

    def __init__(self, log: FactLog) -> None:
        self._log = log

    @handles(Transact, concurrent=True)
    async def transact(self, message: Transact) -> Outcome:
        check_facts(message.transaction.facts)
        return Outcome(await self._log.transact(message.transaction))

    @handles(ReadRecord, concurrent=True)
    async def read(self, message: ReadRecord) -> RecordRead:
        return RecordRead(await self._log.read(message.key))

    @handles(ListRecords, concurrent=True)
    async def list(self, message: ListRecords) -> RecordsListed:
        return RecordsListed(tuple(await self._log.list(message.prefix)))

    @handles(FollowFacts, concurrent=True)
    async def follow(self, message: FollowFacts) -> FactsPage:
        return FactsPage(tuple(await self._log.facts(message.after, limit=message.limit, wait_s=message.wait_s)))

    @handles(GrantLease, concurrent=True)
    async def grant(self, message: GrantLease) -> LeaseGranted:
        return LeaseGranted(await self._log.grant(message.ttl_s))

    @handles(KeepAlive, concurrent=True)
    async def keep_alive(self, message: KeepAlive) -> LeaseAlive:
        return LeaseAlive(await self._log.keep_alive(message.lease))

    @handles(RevokeLease, concurrent=True)
    async def revoke(self, message: RevokeLease) -> Done:
        await self._log.revoke(message.lease)
        return Done()

    @handles(AskWhere, concurrent=True)
    async def where(self, message: AskWhere) -> FactsWhere:  # noqa: ARG002 - being asked is the question
        move = self._log.move if isinstance(self._log, EmbeddedFactLog) else None
        if move is None or not move.done:
            raise Refused(Code.CONFLICT, "the facts are here, at the founding machine")
        return FactsWhere(move.access)


@frozen
class RemoteFactLog:
    """The same port at any other machine: asks the authority's facts actor. A lost answer is `Unreachable`."""

    authority: Ref

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        return (await self.authority.ask(Transact(transaction), timeout_s=ANSWER_S)).result

    async def read(self, key: str) -> Held | None:
        return (await self.authority.ask(ReadRecord(key), timeout_s=ANSWER_S)).held

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        return (await self.authority.ask(ListRecords(prefix), timeout_s=ANSWER_S)).records

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        page = await self.authority.ask(FollowFacts(after, limit, wait_s), timeout_s=wait_s + ANSWER_S)
        return page.facts

    async def grant(self, ttl_s: float) -> int:
        return (await self.authority.ask(GrantLease(ttl_s), timeout_s=ANSWER_S)).lease

    async def keep_alive(self, lease: int) -> bool:
        return (await self.authority.ask(KeepAlive(lease), timeout_s=ANSWER_S)).alive

    async def revoke(self, lease: int) -> None:
        await self.authority.ask(RevokeLease(lease), timeout_s=ANSWER_S)
