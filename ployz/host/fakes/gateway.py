"""A Gateway in memory: it outlives ployzd, ends its holds by its own clock, and counts what a test lets wait in it."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from ployz.clock import Clock
from ployz.host.ports import (
    BackendStatus,
    GatewayBackend,
    GatewayState,
    GatewayStatus,
    ServerStatus,
)


@define(eq=False)
class FakeGateway:
    """`request` is a client. What is running or waiting is what a test says it is."""

    clock: Clock
    lacking: str | None = None
    state: GatewayState | None = field(default=None, init=False)
    """None: it does not run."""
    applied: list[GatewayState] = field(factory=list, init=False)
    """Every state that changed something, oldest first."""
    running: Counter[str] = field(factory=Counter, init=False)
    """Backend -> requests that its servers work on."""
    held: Counter[str] = field(factory=Counter, init=False)
    held_ever: Counter[str] = field(factory=Counter, init=False)
    expired: Counter[str] = field(factory=Counter, init=False)

    def power_cut(self) -> None:
        self.state = None
        for each in (self.running, self.held, self.held_ever, self.expired):
            each.clear()

    def is_held(self, backend: str) -> bool:
        """Now, by its own clock."""
        return self.state is not None and self.clock.wall_ms() < self.state.holds.get(backend, 0)

    def request(self, backend: str) -> bool:
        """Whether it goes on to a server at once; else it waits."""
        self._end_holds()
        if not self.is_held(backend):
            return True
        self.held[backend] += 1
        self.held_ever[backend] += 1
        return False

    async def lacks(self) -> str | None:
        return self.lacking

    async def apply(self, state: GatewayState) -> None:
        self._end_holds()
        if self.state != state:
            self.applied.append(state)
        self.state = state
        for name in list(self.held):
            if name not in state.holds:
                del self.held[name]  # on their way to a server

    async def status(self) -> GatewayStatus:
        self._end_holds()
        if self.state is None:
            return GatewayStatus(runs=False)
        return GatewayStatus(runs=True, backends=tuple(self._backend(each) for each in self.state.backends))

    async def stop(self) -> None:
        self.power_cut()

    def _end_holds(self) -> None:
        for name, waiting in list(self.held.items()):
            if not self.is_held(name):
                self.expired[name] += waiting
                del self.held[name]

    def _backend(self, backend: GatewayBackend) -> BackendStatus:
        name = backend.name
        ready = [each.name for each in backend.servers if not each.is_out]
        return BackendStatus(
            name=name,
            servers=tuple(
                ServerStatus(
                    name=each.name,
                    is_out=each.is_out,
                    sessions=self.running[name] if ready and each.name == ready[0] else 0,
                    errors=0,
                )
                for each in backend.servers
            ),
            held_until_ms=self.state.holds.get(name) if self.state else None,
            held=self.held[name],
            held_ever=self.held_ever[name],
            expired=self.expired[name],
            turned_away=0,
        )
