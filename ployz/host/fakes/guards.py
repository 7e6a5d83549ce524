"""Guards in memory: they live as long as their machine has power, whatever becomes of ployzd."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from attrs import define, field

from ployz.errors import Code, Failed
from ployz.host.fakes.docker import FakeDocker

SIGKILLED = 137


@define(eq=False)
class FakeGuards:
    docker: FakeDocker
    _leases: dict[str, float] = field(factory=dict, init=False)
    _killed: set[str] = field(factory=set, init=False)
    _news: anyio.Event = field(factory=anyio.Event, init=False)

    @property
    def leases(self) -> frozenset[str]:
        """Of which containers. A word on who was killed stays as well, until it is released."""
        return frozenset(self._leases) | self._killed

    def power_cut(self) -> None:
        self._leases.clear()
        self._killed.clear()

    async def guard(self, container: str, until_s: float) -> None:
        await self.renew(container, until_s)

    async def renew(self, container: str, until_s: float) -> None:
        if container in self._killed:
            raise Failed(Code.PART_FAILED, f"{container} was killed by its guard: its lease was over")
        self._leases[container] = until_s
        self._news.set()

    async def release(self, container: str) -> None:
        self._leases.pop(container, None)
        self._killed.discard(container)

    async def until_s(self, container: str) -> float | None:
        return self._leases.get(container)

    async def killed(self, container: str) -> bool:
        return container in self._killed

    async def guarded(self) -> Sequence[str]:
        return tuple(sorted(self.leases))

    async def run(self) -> None:
        """The guards' own life: for as long as there is a machine."""
        while True:
            self._news = anyio.Event()
            with anyio.CancelScope(deadline=min(self._leases.values(), default=float("inf"))):
                await self._news.wait()
            for container, until_s in list(self._leases.items()):
                if until_s <= anyio.current_time():
                    if any(spec.name == container for spec in self.docker.running()):
                        self._killed.add(container)
                        self.docker.exit(container, SIGKILLED)
                    del self._leases[container]
