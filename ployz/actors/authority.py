"""The authority actor: where the facts are ordered, how that is doing, and moving it to etcd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ployz.actors.core import Actor, handles
from ployz.actors.following import FollowingFactLog
from ployz.actors.messages.authority import (
    BackedUp,
    BackUpFacts,
    ClusterState,
    EtcdMember,
    Promoted,
    PromoteFacts,
    ShowCluster,
)
from ployz.actors.parts import Parts
from ployz.config import ASK_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.facts.backup import back_up
from ployz.facts.etcd.access import EtcdAccess
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.members import Member, look, require_fit
from ployz.facts.etcd.moving import move
from ployz.facts.port import Applied, Transaction
from ployz.ids import MachineId

PROMOTE_S = 280.0
"""Copying a long log; a little less than the command waits."""


class AuthorityActor(Actor):
    """`authority`."""

    def __init__(self, parts: Parts, log: FollowingFactLog) -> None:
        self._parts = parts
        self._log = log

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
            members=() if gateway is None else _rows(await look(gateway)),
        )

    @handles(PromoteFacts)
    async def promote(self, message: PromoteFacts) -> Promoted:
        embedded = self._log.embedded
        if embedded is None:
            return await self.system.remote(self._founder(), "authority").ask(message, timeout_s=PROMOTE_S)
        access = EtcdAccess.parse(message.access, "the file")
        async with Gateway(access) as gateway:
            members = await require_fit(gateway)
            head = await move(embedded, gateway, self._parts.entropy(16))
        await self._log.read("cluster")  # which is told "moved", and follows
        await self._parts.mirror.wait_for(head.position, ASK_TIMEOUT_S)
        return Promoted(head.position, _rows(members))

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


def _rows(members: Sequence[Member]) -> tuple[EtcdMember, ...]:
    return tuple(
        EtcdMember(
            each.endpoint, each.answers, each.version, each.leads, each.size_bytes, each.lag, concern=each.concern
        )
        for each in members
    )
