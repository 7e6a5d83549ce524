"""The fact log with a kill point before and after everything that changes it: before it is sent, after the answer."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from ployz.facts.port import Applied, Conflict, FactLog, Held, SequencedFact, Transaction
from ployz.killpoints import reach


@frozen
class KillableFactLog:
    log: FactLog

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        subject = subject_of(transaction)
        reach("before", "transact", subject)
        outcome = await self.log.transact(transaction)
        reach("after", "transact", subject)
        return outcome

    async def read(self, key: str) -> Held | None:
        return await self.log.read(key)

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        return await self.log.list(prefix)

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        return await self.log.facts(after, limit=limit, wait_s=wait_s)

    async def grant(self, ttl_s: float) -> int:
        return await self.log.grant(ttl_s)

    async def keep_alive(self, lease: int) -> bool:
        return await self.log.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        reach("before", "revoke")
        await self.log.revoke(lease)
        reach("after", "revoke")


def subject_of(transaction: Transaction) -> str:
    """The name of its fact; of one without, the kind of record that it writes: `vote`, `lock`, `decision`."""
    if transaction.facts:
        return transaction.facts[0].event_name
    return transaction.puts[0].key.partition("/")[0] if transaction.puts else "nothing"
