"""Finding a machine that is not heard any more where others hear it.

What they say is tried in WireGuard, and becomes no fact: where a machine is heard, it is.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import Final

import anyio
from attrs import define, field

from ployz.actors.core import Home
from ployz.actors.messages.routing import AskWhereabouts, Whereabouts
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import PROBE_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.ids import Endpoint, InvalidName, MachineId
from ployz.plan import seeking
from ployz.plan.seeking import LOST_S, QUIET_S, Heard
from ployz.projections.machines import Member

LISTEN_EVERY_S: Final = 5.0
THIRD: Final = 2
"""Of two machines nobody else knows anything."""
ASKED_MAX: Final = 5
"""Of those that are heard, so many are asked at a time."""

_log = logging.getLogger("ployz.seeking")


@define
class Seeker:
    """Of the routing actor. `run` is a background task of it."""

    parts: Parts
    home: Home
    _heard: dict[str, Heard] = field(factory=dict, init=False)
    """By key."""
    _sought_s: dict[MachineId, float] = field(factory=dict, init=False)
    """When others were last asked for it."""

    async def run(self) -> None:
        while True:
            await anyio.sleep(LISTEN_EVERY_S)
            if len(self._others()) >= THIRD and not self.parts.is_removed:
                with suppress(PloyzError):  # the overlay itself is looked at elsewhere
                    await self._look()

    async def told(self, machine: MachineId) -> Whereabouts:
        """What this one hears of it now."""
        await self._listen()
        member = self.parts.view.machines.get(machine)
        known = None if member is None else seeking.of_member(self._heard, member)
        if known is None or not known[1].came:
            return Whereabouts("", -1)
        silent_s = self._now_s() - known[1].at_s
        return Whereabouts(known[1].endpoint if silent_s < LOST_S else "", round(silent_s * 1000))

    async def _look(self) -> None:
        await self._listen()
        for member in self._others():
            known = seeking.of_member(self._heard, member)
            if known is None:
                continue
            silent_s, sought_s = self._now_s() - known[1].at_s, self._sought_s.get(member.machine)
            if seeking.is_due(silent_s, None if sought_s is None else self._now_s() - sought_s):
                self._sought_s[member.machine] = self._now_s()
                await self._seek(member, *known)
            elif QUIET_S <= silent_s < LOST_S:
                await self.parts.soundings.poke(member.ipv6)

    async def _seek(self, member: Member, key: str, known: Heard) -> None:
        asked = sorted(self._heard_lately(), key=lambda each: each[0])[:ASKED_MAX]
        answers = await together(*(partial(self._ask, each, member.machine) for _, each in asked))
        said = sorted((each for each in answers if each is not None), key=lambda each: each.silent_ms)
        place = seeking.next_place([*(each.endpoint for each in said), member.endpoint], known.endpoint)
        if place is None:
            return
        _log.info("%s is not heard at %s: it is looked for at %s", member.machine, known.endpoint, place)
        await self.parts.overlay.seek(key, place)
        await self.parts.soundings.poke(member.ipv6)  # it hears where this one is

    def _heard_lately(self) -> list[tuple[float, MachineId]]:
        found = []
        for member in self._others():
            known = seeking.of_member(self._heard, member)
            if known is not None and known[1].came and self._now_s() - known[1].at_s < LOST_S:
                found.append((self._now_s() - known[1].at_s, member.machine))
        return found

    async def _ask(self, asked: MachineId, about: MachineId) -> Whereabouts | None:
        try:
            reply = await self.home.remote(asked, "routing").ask(AskWhereabouts(about), timeout_s=PROBE_TIMEOUT_S)
            Endpoint(reply.endpoint)
        except (PloyzError, InvalidName):
            return None
        return reply

    async def _listen(self) -> None:
        self._heard = seeking.heard(self._heard, await self.parts.overlay.status(), self._now_s())

    def _others(self) -> list[Member]:
        return [each for each in self.parts.view.machines.in_order() if each.machine != self.parts.me]

    def _now_s(self) -> float:
        return self.parts.clock.monotonic_s()
