"""Giving the place of one member of the cluster's own etcd to another machine, in an order that never loses a majority.

A member that answers leaves last: the new one first learns all that there is, without a vote, and is given one. A lost
member leaves first, since etcd admits nobody while one of its voters is away. Each step looks at what etcd says its
members are, so that a run that was interrupted is gone on with by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import anyio
from attrs import evolve, frozen

from ployz.actors.core import Home
from ployz.actors.messages.etcd import LeaveSeat, TakeSeat
from ployz.actors.parts import Parts
from ployz.actors.seating import require_fit
from ployz.actors.work import failures
from ployz.config import ASK_TIMEOUT_S, EFFECT_TIMEOUT_S
from ployz.errors import Code, Failed, PloyzError, Refused, Unreachable
from ployz.facts.etcd.access import EtcdAccess
from ployz.facts.etcd.forms import Json, number
from ployz.facts.etcd.gateway import Declined, Gateway
from ployz.facts.etcd.members import look
from ployz.facts.etcd.seating import Seating
from ployz.host.etcd.text import client_url, peer_url
from ployz.ids import MachineId
from ployz.plan.holdings import member_of

STEP_S: Final = 90.0
"""etcd admits nobody before its members have been in touch for 5 s, and gives no vote before all was learned."""
PAUSE_S: Final = 1.0

_log = logging.getLogger("ployz.etcd")


@frozen
class _Member:
    number: str
    learns: bool


_Step = Callable[[Mapping[str, _Member]], Awaitable[bool]]
"""Does what is left to do; True: nothing is."""


async def replace(parts: Parts, home: Home, seating: Seating, old: MachineId, new: MachineId) -> Seating:
    """Returns the members as they are then. Replaced already is done.

    `Refused`: USAGE (`old` has no place, or `new` has one), UNKNOWN_MACHINE, MISSING_PART. `Failed`, `Unreachable`: not
    done; run it again.
    """
    address = member_of(parts.view, new).ipv6
    names = dict(seating.members)
    if old not in names and new in names:
        return seating
    if old not in names or new in names:
        raise Refused(
            Code.USAGE,
            f"{old} runs no member of etcd" if old not in names else f"{new} runs a member of etcd already",
            f"Members run on {', '.join(seating.machines())}.",
        )
    await require_fit(home, new)
    after = seating.with_members(tuple(each if each[0] != old else (new, address) for each in seating.members))
    asked = evolve(seating.as_operator(), endpoints=tuple(client_url(names[each]) for each in names if each != old))
    async with Gateway(asked) as gateway:
        replacing = _Replacing(gateway, peer_url(names[old]), peer_url(address))
        if await _answers(seating, names[old]):
            await replacing.relieve_old(evolve(seating.as_operator(), endpoints=(client_url(names[old]),)))
        else:
            await replacing.remove_old()
        await replacing.admit_new()
        both = after.with_members((*seating.members, (new, address)))
        there = both if await replacing.old_is_there() else after
        seat = await there.seat(new, founds=False)
        await home.remote(new, "etcd").ask(TakeSeat(seat, after.text()), timeout_s=EFFECT_TIMEOUT_S)
        await replacing.give_vote()
        await replacing.remove_old()
    _log.info("%s has the place of %s among the members of etcd", new, old)
    with suppress(PloyzError):
        await home.remote(old, "etcd").ask(LeaveSeat(), timeout_s=ASK_TIMEOUT_S)
    await _tell(home, after)
    return after


@frozen
class _Replacing:
    gateway: Gateway
    old: str
    new: str

    async def old_is_there(self) -> bool:
        return self.old in await self._members()

    async def relieve_old(self, access: EtcdAccess) -> None:
        """Of the lead, if it has it: a vote is given by the leader, which etcd 3.4 does not reach from another member;
        and one that leads when it leaves lets commits wait for an election.
        """
        async with Gateway(access) as old:

            async def step(members: Mapping[str, _Member]) -> bool:
                (state,) = await look(old)
                if state.leads:
                    heir = next(each for url, each in members.items() if url != self.old and not each.learns)
                    await old.write("/v3/maintenance/transfer-leadership", {"targetID": heir.number})
                return not state.leads

            await self._until(step, "hand over the lead")

    async def remove_old(self) -> None:
        async def step(members: Mapping[str, _Member]) -> bool:
            if self.old in members:
                await self.gateway.write("/v3/cluster/member/remove", {"ID": members[self.old].number})
            return self.old not in members

        await self._until(step, "let the old member go")

    async def admit_new(self) -> None:
        async def step(members: Mapping[str, _Member]) -> bool:
            if self.new not in members:
                await self.gateway.write("/v3/cluster/member/add", {"peerURLs": [self.new], "isLearner": True})
            return self.new in members

        await self._until(step, "admit the new member")

    async def give_vote(self) -> None:
        async def step(members: Mapping[str, _Member]) -> bool:
            if members[self.new].learns:
                await self.gateway.write("/v3/cluster/member/promote", {"ID": members[self.new].number})
            return not members[self.new].learns

        await self._until(step, "give the new member its vote")

    async def _until(self, step: _Step, what: str) -> None:
        """Done is what etcd's list of members says, never an answer: whatever became of a request, it is looked at."""
        why = ""
        with anyio.move_on_after(STEP_S):
            while True:
                try:
                    if await step(await self._members()):
                        return
                    continue
                except (Declined, Unreachable) as error:
                    why = error.problem.text if isinstance(error, PloyzError) else str(error)
                await anyio.sleep(PAUSE_S)
        raise Failed(Code.PART_FAILED, f"etcd did not {what} within {STEP_S:.0f} s: {why}", "Run it again.")

    async def _members(self) -> Mapping[str, _Member]:
        """By the address under which the others reach each."""
        listed = await self.gateway.read("/v3/cluster/member/list", {})
        return {each["peerURLs"][0]: _member(each) for each in listed["members"]}


def _member(each: Json) -> _Member:
    return _Member(str(number(each, "ID")), bool(each.get("isLearner")))


async def _answers(seating: Seating, address: str) -> bool:
    async with Gateway(evolve(seating.as_operator(), endpoints=(client_url(address),))) as gateway:
        try:
            await gateway.read("/v3/cluster/member/list", {})
        except (PloyzError, Declined):
            return False
    return True


async def _tell(home: Home, after: Seating) -> None:
    """What all members know. One that does not hear it knows the others, and hears of the next change."""

    async def tell(machine: MachineId) -> None:
        seat = await after.seat(machine, founds=False)
        await home.remote(machine, "etcd").ask(TakeSeat(seat, after.text()), timeout_s=ASK_TIMEOUT_S)

    for machine, why in (await failures(after.machines(), tell)).items():
        _log.warning("%s was not told of the members of etcd: %s", machine, why)
