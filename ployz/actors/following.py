"""The fact log of one machine, wherever the facts are ordered: it follows them when they move to etcd.

Being told "moved" is a clear answer: nothing has been done. So the call that met it is made again, there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
from attrs import evolve

from ployz.actors.facts import RemoteFactLog
from ployz.actors.messages.authority import AskWhere
from ployz.actors.ref import Ref
from ployz.clock import Clock
from ployz.config import ASK_TIMEOUT_S
from ployz.errors import Code, Refused
from ployz.facts.etcd.access import MODE, EtcdAccess
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.log import EtcdFactLog
from ployz.facts.port import Applied, Conflict, FactLog, Held, SequencedFact, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.facts.wellformed import check_facts
from ployz.install.files import write_durably

T = TypeVar("T")


class FollowingFactLog:
    """`async with FollowingFactLog(...) as facts:`. A FactLog."""

    def __init__(self, embedded: EmbeddedFactLog | None, founder: Ref, etcd_path: Path, clock: Clock) -> None:
        """`embedded`: at the founding machine. `etcd_path`: what is remembered of where the facts went."""
        self.embedded = embedded
        self.etcd: Gateway | None = None
        self._founder = founder
        self._etcd_path = etcd_path
        self._clock = clock
        self._log: FactLog = embedded or RemoteFactLog(founder)
        self._one_at_a_time = anyio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        access = EtcdAccess.load(self._etcd_path)
        if access is not None:
            await self._use(access)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def whole(self) -> EmbeddedFactLog | EtcdFactLog | None:
        """The log itself, where this machine can read all of it: in etcd, or here. None: it is on another machine."""
        return self._log if isinstance(self._log, EmbeddedFactLog | EtcdFactLog) else None

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        check_facts(transaction.facts)
        return await self._ask(lambda log: log.transact(transaction))

    async def read(self, key: str) -> Held | None:
        return await self._ask(lambda log: log.read(key))

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        return await self._ask(lambda log: log.list(prefix))

    async def facts(self, after: int, *, limit: int, wait_s: float) -> Sequence[SequencedFact]:
        return await self._ask(lambda log: log.facts(after, limit=limit, wait_s=wait_s))

    async def grant(self, ttl_s: float) -> int:
        return await self._ask(lambda log: log.grant(ttl_s))

    async def keep_alive(self, lease: int) -> bool:
        return await self._ask(lambda log: log.keep_alive(lease))

    async def revoke(self, lease: int) -> None:
        await self._ask(lambda log: log.revoke(lease))

    async def reach(self, endpoints: Sequence[str]) -> None:
        """The members of etcd are these from now on."""
        async with self._one_at_a_time:
            if self.etcd is not None and self.etcd.access.endpoints != tuple(endpoints):
                access = evolve(self.etcd.access, endpoints=tuple(endpoints))
                write_durably(self._etcd_path, access.text(), mode=MODE)
                await self._use(access)

    async def _ask(self, call: Callable[[FactLog], Awaitable[T]]) -> T:
        log = self._log
        try:
            return await call(log)
        except Refused as error:
            if error.code is not Code.FACTS_MOVED:
                raise
        async with self._one_at_a_time:
            if self._log is log:
                await self._follow()
        return await call(self._log)

    async def _follow(self) -> None:
        move = None if self.embedded is None else self.embedded.move
        text = (await self._founder.ask(AskWhere(), timeout_s=ASK_TIMEOUT_S)).access if move is None else move.access
        access = EtcdAccess.parse(text, "what the founding machine says")
        # Before it is used: after a restart the founding machine may be gone, and nobody else says where the facts are.
        write_durably(self._etcd_path, access.text(), mode=MODE)
        await self._use(access)

    async def _use(self, access: EtcdAccess) -> None:
        self.etcd = await self._stack.enter_async_context(Gateway(access))
        self._log = EtcdFactLog(self.etcd, self._clock)
