"""How large a packet may be to each other machine: what this one's interfaces take, and what the others' do.

Who sits behind a narrow line tells the others of it, while it is so. Nothing of it is a fact: lines change, and a word
that is not said again is forgotten.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

import anyio
from attrs import define, field, frozen

from ployz.actors.core import Home
from ployz.actors.messages.routing import TellWay
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import PROBE_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.ids import MTU_MAX, MTU_MIN, MachineId
from ployz.projections.machines import Member

TELL_EVERY_S: Final = 60.0
FORGET_S: Final = 200.0
"""Three times it was not said again."""


@frozen
class Told:
    mtu: int
    at_s: float


@define
class Ways:
    """Of the routing actor. `run` is a background task of it."""

    parts: Parts
    home: Home
    _seen: dict[str, int] = field(factory=dict, init=False)
    """By key, as this machine's interfaces say."""
    _told: dict[MachineId, Told] = field(factory=dict, init=False)
    _news: anyio.Event = field(factory=anyio.Event, init=False)

    async def run(self) -> None:
        while True:
            await together(*(partial(self._tell, each, mtu) for each, mtu in self._narrow()))
            with anyio.move_on_after(TELL_EVERY_S):
                await self._news.wait()
            self._news = anyio.Event()

    async def find(self) -> None:
        """Reads the interfaces. What is not answered is as it was."""
        before = dict(self._seen)
        self._seen |= await self.parts.overlay.ways()
        if self._seen != before:
            self._news.set()
        self._merge()

    def take(self, machine: MachineId, mtu: int) -> None:
        """What another machine says of its own interface."""
        self._told[machine] = Told(max(MTU_MIN, min(MTU_MAX, mtu)), self._now_s())
        self._merge()

    def _merge(self) -> None:
        told = {machine: each.mtu for machine, each in self._told.items() if self._now_s() - each.at_s < FORGET_S}
        by_key = {key: told[each.machine] for each in self._others() if each.machine in told for key in _keys(each)}
        self.parts.ways = {key: min(mtu, by_key.get(key, mtu)) for key, mtu in self._seen.items()}

    def _narrow(self) -> list[tuple[MachineId, int]]:
        ways = [(each.machine, min(self._seen.get(key, MTU_MAX) for key in _keys(each))) for each in self._others()]
        return [(machine, mtu) for machine, mtu in ways if mtu < MTU_MAX]

    async def _tell(self, machine: MachineId, mtu: int) -> None:
        with suppress(PloyzError):  # it hears of it the next time
            await self.home.remote(machine, "routing").ask(TellWay(mtu), timeout_s=PROBE_TIMEOUT_S)

    def _others(self) -> list[Member]:
        return [each for each in self.parts.view.machines.in_order() if each.machine != self.parts.me]

    def _now_s(self) -> float:
        return self.parts.clock.monotonic_s()


def _keys(member: Member) -> tuple[str, ...]:
    return tuple(key for key in (member.public_key, member.next_key) if key is not None)
