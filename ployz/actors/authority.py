"""The authority actor: where the facts are ordered, how that is doing, and moving it to etcd."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio

from ployz.actors.core import Actor, handles
from ployz.actors.following import FollowingFactLog
from ployz.actors.messages.authority import (
    BackedUp,
    BackUpFacts,
    ClusterState,
    EtcdMember,
    MemberReplaced,
    Promoted,
    PromoteFacts,
    ReplaceMember,
    ShowCluster,
)
from ployz.actors.parts import Parts
from ployz.actors.replacing import replace
from ployz.actors.seating import read_seating, seat
from ployz.actors.work import catch_up
from ployz.config import ASK_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused, Unreachable
from ployz.facts.backup import back_up
from ployz.facts.etcd.access import EtcdAccess
from ployz.facts.etcd.gateway import Declined, Gateway
from ployz.facts.etcd.members import Member, endpoints, look, require_fit
from ployz.facts.etcd.moving import move
from ployz.facts.port import Applied, Transaction
from ployz.host.etcd.text import client_url
from ployz.ids import MachineId
from ployz.wire.message import Peer

PROMOTE_S = 280.0
"""Copying a long log; a little less than the command waits."""

MEMBERS_LOOK_S: Final = 10.0
"""A machine that was away while the members changed knows the rest of them, and asks."""

_log = logging.getLogger("ployz.authority")


class AuthorityActor(Actor):
    """`authority`."""

    def __init__(self, parts: Parts, log: FollowingFactLog) -> None:
        self._parts = parts
        self._log = log

    async def run(self) -> None:
        """Follows the members of the cluster's own etcd, wherever their places go."""
        while True:
            gateway = self._log.etcd
            if gateway is not None and set(gateway.access.endpoints) & self._of_machines().keys():
                try:
                    await self._log.reach(await endpoints(gateway) or gateway.access.endpoints)
                except (PloyzError, Declined) as error:
                    _log.debug("the members of etcd are not known now: %s", error)
            await anyio.sleep(MEMBERS_LOOK_S)

    @handles(ShowCluster, concurrent=True)
    async def show(self, message: ShowCluster) -> ClusterState:  # noqa: ARG002 - it says "now"
        position, why = None, ""
        try:
            position = await self._position()
        except PloyzError as error:
            why = error.problem.text
        gateway = self._log.etcd
        return ClusterState(
            ordered_by="embedded" if gateway is None else "etcd",
            founder=self._founder(),
            position=position,
            mirrored=self._parts.view.position,
            why=why,
            members=() if gateway is None else self._rows(await look(gateway)),
            isolation=self._parts.view.machines.settings.isolation,
        )

    @handles(PromoteFacts)
    async def promote(self, message: PromoteFacts) -> Promoted:
        embedded = self._log.embedded
        if embedded is None:
            return await self.system.remote(self._founder(), "authority").ask(message, timeout_s=PROMOTE_S)
        if message.machines and embedded.move is None:
            await catch_up(self._parts)
        access = await self._access(message)
        async with Gateway(access) as gateway:
            members = await require_fit(gateway)
            if message.machines and embedded.move is not None and embedded.move.done:
                return Promoted((await embedded.head()).position, self._rows(members))
            head = await move(embedded, gateway, self._parts.entropy(16))
        await self._log.read("cluster")  # which is told "moved", and follows
        await self._parts.mirror.wait_for(head.position, ASK_TIMEOUT_S)
        return Promoted(head.position, self._rows(members))

    @handles(ReplaceMember)
    async def replace(self, message: ReplaceMember) -> MemberReplaced:
        gateway = self._log.etcd
        machines = [] if gateway is None else [self._of_machines().get(each) for each in gateway.access.endpoints]
        if gateway is None or not any(machines):
            raise Refused(
                Code.CONFLICT,
                "this cluster has no etcd of its own",
                "ployzctl cluster status says who orders the facts.",
            )
        seating = read_seating(self._parts.config.etcd_dir)
        if seating is None or self._parts.me == message.old:
            return await self._replace_there(message, [each for each in machines if each not in (None, message.old)])
        after = await replace(self._parts, self.system, seating, message.old, message.new)
        await self._log.reach(after.access.endpoints)
        assert self._log.etcd is not None  # noqa: S101 - it was there
        return MemberReplaced(self._rows(await look(self._log.etcd)))

    async def _replace_there(self, message: ReplaceMember, machines: Sequence[MachineId | None]) -> MemberReplaced:
        why: PloyzError | None = None
        for machine in filter(None, machines):
            if isinstance(self.sender, Peer):
                break  # one machine passes it on, once
            try:
                answer = await self.system.remote(machine, "authority").ask(message, timeout_s=PROMOTE_S)
            except Unreachable as error:
                why = error
            else:
                await self._log.reach([each.endpoint for each in answer.members])
                return answer
        raise why or Refused(Code.NOT_HERE, f"{self._parts.me} runs no member of etcd", "Run it on one that does.")

    async def _access(self, message: PromoteFacts) -> EtcdAccess:
        if message.machines:
            return (await seat(self._parts, self.system, message.machines)).access
        return EtcdAccess.parse(message.access, "the file")

    @handles(BackUpFacts)
    async def back_up(self, message: BackUpFacts) -> BackedUp:
        log = self._log.whole
        if log is None:
            founder = self._founder()
            raise Refused(Code.NOT_HERE, f"the facts are at the founding machine, {founder}", f"Run it on {founder}.")
        head = await back_up(log, Path(message.path), self._parts.clock)
        return BackedUp(message.path, head.position)

    async def _position(self) -> int:
        """Of the last fact there is. An empty transaction says so, and needs a majority of whoever orders them."""
        outcome = await self._parts.facts.transact(Transaction(()))
        assert isinstance(outcome, Applied)  # noqa: S101 - nothing was compared
        return outcome.position

    def _founder(self) -> MachineId:
        cluster = self._parts.view.machines.cluster
        if cluster is None:
            raise Refused(Code.NOT_FOUNDED, f"{self._parts.me} knows no cluster yet", "ployzctl machine ls")
        return cluster.founder

    def _rows(self, members: Sequence[Member]) -> tuple[EtcdMember, ...]:
        names = self._of_machines()
        return tuple(
            EtcdMember(
                each.endpoint,
                each.answers,
                each.version,
                each.leads,
                each.size_bytes,
                each.lag,
                concern=each.concern,
                machine=names.get(each.endpoint, ""),
            )
            for each in members
        )

    def _of_machines(self) -> dict[str, MachineId]:
        """Where a member of the cluster's own etcd answers, on each machine."""
        return {client_url(each.ipv6): each.machine for each in self._parts.view.machines.members.values()}
