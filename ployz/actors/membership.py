"""The membership actor: makes a machine active, draining or standby, and takes one out of the cluster, by facts.

Whoever holds anything is not let go. That nothing comes in between the look and the fact is compared in the fact log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ployz.actors.core import Actor, handles
from ployz.actors.messages.authority import ShowCluster
from ployz.actors.messages.machine import Ping
from ployz.actors.messages.membership import (
    ChangeLifecycle,
    LifecycleChanged,
    LostVolume,
    OlderCopy,
    PreviewRemoval,
    Removal,
    Removed,
    RemoveMachine,
)
from ployz.actors.messages.routing import AwaitPosition
from ployz.actors.messages.takeover import Copies, LookAtCopies
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.actors.work import catch_up, failures
from ployz.config import ASK_TIMEOUT_S, FOLLOW_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import Lifecycle
from ployz.facts import keys
from ployz.facts.conflicts import accepted
from ployz.facts.port import Transaction
from ployz.facts.transactions import change_lifecycle, remove_machine, rest_machine
from ployz.ids import MachineId, VolumeRef
from ployz.plan.holdings import check_holds_nothing, check_removable, holdings, member_of
from ployz.projections.machines import Member

_log = logging.getLogger("ployz.membership")


class MembershipActor(Actor):
    """`membership`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        """Says once that this machine was removed. What it may not run any more, settling ends."""
        while not self._parts.is_removed:
            await self._parts.next_change()
        _log.error(
            "%s was removed from the cluster: it runs nothing of it, and starts nothing. Its data is left as it is",
            self._parts.me,
        )

    # ------------------------------------------------------------ what a machine is for

    @handles(ChangeLifecycle)
    async def change(self, message: ChangeLifecycle) -> LifecycleChanged:
        await catch_up(self._parts)
        member = member_of(self._parts.view, message.machine)
        position = 0
        if member.lifecycle is not message.lifecycle:
            if message.lifecycle is Lifecycle.STANDBY:
                position = await self._let_go(member, partial(rest_machine, member.machine))
            else:
                position = await self._transact(change_lifecycle(member.machine, member.lifecycle, message.lifecycle))
            await self._parts.mirror.wait_for(position, ASK_TIMEOUT_S)
        held = holdings(self._parts.view, member.machine)
        return LifecycleChanged(
            machine=member.machine,
            before=member.lifecycle,
            after=message.lifecycle,
            position=position,
            volumes=held.volumes,
            slots=held.slots,
            operations=held.operations,
        )

    async def _let_go(self, member: Member, build: Callable[[int], Transaction]) -> int:
        """Of an active machine through draining, in which nothing new can come. Refused, it is active as before."""
        check_holds_nothing(self._parts.view, member.machine)
        if member.active:
            await self._transact(change_lifecycle(member.machine, Lifecycle.ACTIVE, Lifecycle.DRAINING))
        try:
            revision = await self._resting_since(member.machine)
            check_holds_nothing(self._parts.view, member.machine)
            return await self._transact(build(revision))
        except PloyzError:
            if member.active:
                with suppress(PloyzError):
                    await self._transact(change_lifecycle(member.machine, Lifecycle.DRAINING, Lifecycle.ACTIVE))
            raise

    async def _resting_since(self, machine: MachineId) -> int:
        """The revision that made it take nothing new; this machine knows every fact up to that."""
        standing = await keys.machine(machine).read(self._parts.facts)
        await catch_up(self._parts)
        if standing is None or standing.value.lifecycle is Lifecycle.ACTIVE:
            how = "was removed" if standing is None else "was made active"
            raise Refused(Code.CONFLICT, f"machine {machine} {how} meanwhile", "ployzctl machine ls")
        return standing.revision

    async def _transact(self, transaction: Transaction) -> int:
        """Not waiting for this machine's mirror: who is removed hears no more."""
        return accepted(await self._parts.facts.transact(transaction)).position

    # ------------------------------------------------------------ how one leaves

    @handles(PreviewRemoval, concurrent=True)
    async def preview(self, message: PreviewRemoval) -> Removal:
        await catch_up(self._parts)
        return await self._removal(message.machine, force=message.force)

    @handles(RemoveMachine)
    async def remove(self, message: RemoveMachine) -> Removed:
        await catch_up(self._parts)
        removal = await self._removal(message.machine, force=message.force)
        member = member_of(self._parts.view, message.machine)
        build = partial(remove_machine, member.machine, member.number)
        if message.force:
            standing = await keys.machine(member.machine).read(self._parts.facts)
            position = await self._transact(build(standing.revision if standing else 0))
        else:
            position = await self._let_go(member, build)
        return Removed(removal, position, await self._lagging(member.machine, position))

    async def _removal(self, machine: MachineId, *, force: bool) -> Removal:
        check_removable(self._parts.view, machine)
        await self._require_no_member_of_etcd(machine)
        if not force:
            check_holds_nothing(self._parts.view, machine)
        answers = await self._answers(machine)
        if force and answers:
            raise Refused(
                Code.MACHINE_ANSWERS,
                f"{machine} answers: it is not gone",
                f"Move away what it has, then `ployzctl machine rm {machine}`. If it is beyond that, stop its ployzd.",
            )
        held = holdings(self._parts.view, machine)
        return Removal(
            machine=machine,
            answers=answers,
            volumes=await self._lost(machine, held.volumes),
            slots=held.slots,
            operations=held.operations,
            now_ms=self._parts.clock.wall_ms(),
        )

    async def _require_no_member_of_etcd(self, machine: MachineId) -> None:
        """Etcd would count on it for good: with another one lost, nothing could be committed any more."""
        state = await self.system.ref("authority").ask(ShowCluster(), timeout_s=ASK_TIMEOUT_S)
        if machine in {each.machine for each in state.members}:
            raise Refused(
                Code.AUTHORITY,
                f"{machine} runs a member of the etcd that orders the facts",
                f"Give its place to another machine first: ployzctl cluster replace {machine} OTHER",
            )

    async def _answers(self, machine: MachineId) -> bool:
        try:
            await self.system.remote(machine, "machine").ask(Ping(), timeout_s=PROBE_TIMEOUT_S)
        except PloyzError:
            return False
        return True

    async def _lost(self, machine: MachineId, volumes: tuple[VolumeRef, ...]) -> tuple[LostVolume, ...]:
        if not volumes:
            return ()
        others = [each.machine for each in self._parts.view.machines.in_order() if each.machine != machine]
        asked = LookAtCopies(volumes, ())
        answers = dict(zip(others, await together(*(partial(self._look, each, asked) for each in others)), strict=True))
        return tuple(LostVolume(volume, _copies(volume, answers)) for volume in volumes)

    async def _look(self, machine: MachineId, asked: LookAtCopies) -> Copies | None:
        try:
            return await self.system.remote(machine, "takeover").ask(asked, timeout_s=PROBE_TIMEOUT_S)
        except PloyzError:
            return None

    async def _lagging(self, removed: MachineId, position: int) -> tuple[MachineId, ...]:
        """A machine that removed itself may hear no more."""
        others = [each.machine for each in self._parts.view.machines.in_order() if each.machine != removed]

        async def follows(machine: MachineId) -> None:
            await self.system.remote(machine, "routing").ask(AwaitPosition(position), timeout_s=FOLLOW_TIMEOUT_S)

        return () if removed == self._parts.me else tuple(sorted(await failures(others, follows)))


def _copies(volume: VolumeRef, answers: dict[MachineId, Copies | None]) -> tuple[OlderCopy, ...]:
    found = [
        OlderCopy(machine, copy.snapshots[-1].created_s * 1000)
        for machine, answer in answers.items()
        for copy in (answer.copies if answer else ())
        if copy.volume == volume and copy.snapshots
    ]
    return tuple(sorted(found, key=lambda each: (-each.taken_ms, each.machine)))
