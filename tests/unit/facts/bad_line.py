"""A fact log at the other end of a bad line: requests or answers get lost, as the test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from typing import TypeVar

import anyio

from ployz.errors import Code, PloyzError, Unreachable
from ployz.facts.port import Applied, Conflict, FactLog, Held, SequencedFact, Transaction

T = TypeVar("T")


class Loss(Enum):
    NOTHING = auto()
    REQUEST = auto()
    """It never arrives."""
    ANSWER = auto()
    """It happens, and nobody here hears of it."""
    SILENCE = auto()
    """Neither comes, nor an error: the line hangs until the caller gives up."""


class BadLine:
    """A FactLog. `losses` are used up by the next calls, one each; then everything arrives, or nothing when `down`."""

    def __init__(self, log: FactLog) -> None:
        self.log = log
        self.losses: list[Loss] = []
        self.down = False
        self.error: PloyzError = Unreachable(Code.OUTCOME_UNKNOWN, "no answer")
        self.answer_takes_s = 0.0
        self.sent: list[Transaction] = []

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        self.sent.append(transaction)
        return await self._over(lambda: self.log.transact(transaction))

    async def read(self, key: str) -> Held | None:
        return await self._over(lambda: self.log.read(key))

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        return await self._over(lambda: self.log.list(prefix))

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        return await self._over(lambda: self.log.facts(after, limit=limit, wait_s=wait_s))

    async def grant(self, ttl_s: float) -> int:
        return await self._over(lambda: self.log.grant(ttl_s))

    async def keep_alive(self, lease: int) -> bool:
        return await self._over(lambda: self.log.keep_alive(lease))

    async def revoke(self, lease: int) -> None:
        await self._over(lambda: self.log.revoke(lease))

    async def _over(self, ask: Callable[[], Awaitable[T]]) -> T:
        loss = Loss.REQUEST if self.down else self.losses.pop(0) if self.losses else Loss.NOTHING
        if loss is Loss.SILENCE:
            await anyio.sleep_forever()
        answer = await ask() if loss in {Loss.NOTHING, Loss.ANSWER} else None
        if loss is Loss.NOTHING:
            if self.answer_takes_s:
                await anyio.sleep(self.answer_takes_s)
            return answer  # type: ignore[return-value]  # nothing was lost: it is T
        raise self.error
