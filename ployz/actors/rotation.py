"""The rotation actor: gives this machine another WireGuard key, so that no other one is cut off at any moment.

The new key is announced first, vouched for by the machine's own key; everybody takes the machine under both, and sends
to the new one from when it is heard with it. There is always one key on which both sides agree.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

import anyio

from ployz.actors.core import Actor, handles
from ployz.actors.messages.machine import Ping
from ployz.actors.messages.rotation import KeysRotated, RotateKeys
from ployz.actors.messages.routing import AwaitPosition
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.actors.work import catch_up, failures, transact
from ployz.config import EFFECT_TIMEOUT_S, FOLLOW_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import CleanupPending, Code, PloyzError, Refused
from ployz.events.types import MachineKeyAnnounced, MachineKeyRotated
from ployz.facts.transactions import announce_key, rotate_key
from ployz.ids import MachineId
from ployz.plan.holdings import member_of
from ployz.projections.machines import Member

HEARD_S: Final = 20.0
"""How long the others may take to answer on the new key."""
RETRY_S: Final = 2.0

_log = logging.getLogger("ployz.rotation")


class RotationActor(Actor):
    """`rotation`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        """A key that was changed to before a crash is the key: the others are told so."""
        while True:
            try:
                member = self._parts.view.machines.get(self._parts.me)
                if member is not None and member.next_key == await self._parts.overlay.public_key():
                    await self._finish(member)
            except PloyzError as error:
                _log.warning("the change of the key is not finished yet: %s", error)
                await anyio.sleep(RETRY_S)
            else:
                return

    @handles(RotateKeys)
    async def rotate(self, message: RotateKeys) -> KeysRotated:
        await catch_up(self._parts)
        member = member_of(self._parts.view, message.machine)
        if message.machine != self._parts.me:
            there = self.system.remote(message.machine, "rotation")
            return await there.ask(message, timeout_s=EFFECT_TIMEOUT_S)
        answering = await self._who_answers()
        silent = tuple(each for each in self._others() if each not in answering)
        self._check_nobody_is_cut_off(silent)
        key = await self._announce(member)
        await self._known_to(answering)
        await self._parts.overlay.switch_key()
        unheard = await self._unheard(answering)
        position = await self._finish(member_of(self._parts.view, self._parts.me))
        if unheard:
            raise CleanupPending(
                Code.CLEANUP_PENDING,
                f"{self._parts.me} has its new key, and does not hear of: {', '.join(sorted(unheard))}",
                "They are tried on: ployzctl machine ls.",
            )
        return KeysRotated(self._parts.me, key, position, silent)

    # ------------------------------------------------------------ before the change

    def _others(self) -> list[MachineId]:
        return [each.machine for each in self._parts.view.machines.in_order() if each.machine != self._parts.me]

    async def _who_answers(self) -> list[MachineId]:
        failed = await failures(self._others(), partial(self._ping, timeout_s=PROBE_TIMEOUT_S))
        return [each for each in self._others() if each not in failed]

    async def _ping(self, machine: MachineId, timeout_s: float) -> None:
        await self.system.remote(machine, "machine").ask(Ping(), timeout_s=timeout_s)

    def _check_nobody_is_cut_off(self, silent: tuple[MachineId, ...]) -> None:
        """Who is off hears of the new key from whoever orders the facts, which it must reach with the key it knows."""
        if silent and self._parts.config.founding is not None:
            raise Refused(
                Code.MACHINE_UNREACHABLE,
                f"{', '.join(silent)} would have to hear of the key from this machine, and not reach it",
                "Bring it back, or remove it, and give the command again.",
            )

    async def _announce(self, member: Member) -> str:
        """Also one that was announced before: who follows the fact listens more closely."""
        key = await self._parts.overlay.next_key()
        announced = MachineKeyAnnounced(member.machine, key, self._parts.vouch(key))
        await transact(self._parts, announce_key(announced, member.lifecycle))
        if member_of(self._parts.view, member.machine).next_key != key:
            raise Refused(Code.IDENTITY, "the facts name another key of this machine: nobody would believe it")
        return key

    async def _known_to(self, answering: list[MachineId]) -> None:
        """`Refused`: somebody who answers has not followed. Nothing was changed: the key in use is the old one."""
        position = self._parts.view.position

        async def follows(machine: MachineId) -> None:
            await self.system.remote(machine, "routing").ask(AwaitPosition(position), timeout_s=FOLLOW_TIMEOUT_S + 1)

        lagging = await failures(answering, follows)
        if lagging:
            whys = "; ".join(f"{machine}: {why}" for machine, why in sorted(lagging.items()))
            raise Refused(Code.MACHINE_UNREACHABLE, f"not everybody knows the new key yet: {whys}", "Run it again.")

    # ------------------------------------------------------------ after it

    async def _unheard(self, answering: list[MachineId]) -> set[MachineId]:
        """Asking is what makes WireGuard shake hands anew."""

        async def heard(machine: MachineId) -> MachineId | None:
            with anyio.move_on_after(HEARD_S):
                while True:
                    try:
                        await self._ping(machine, timeout_s=PROBE_TIMEOUT_S)
                    except PloyzError:
                        await anyio.sleep(RETRY_S / 4)
                    else:
                        return None
            return machine

        return set(filter(None, await together(*(partial(heard, each) for each in answering))))

    async def _finish(self, member: Member) -> int:
        key = await self._parts.overlay.public_key()
        if member.public_key == key:
            return self._parts.view.position
        return await transact(self._parts, rotate_key(MachineKeyRotated(member.machine, key), member.lifecycle))
