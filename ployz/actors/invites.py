"""The invites actor: makes, lists and revokes invitations, and takes in who shows one.

An invitation is used once, by the transaction that makes the member. The secret is stored nowhere.
"""

from __future__ import annotations

from typing import Final

from ployz.actors.core import Actor, handles
from ployz.actors.messages.invites import (
    InviteList,
    InviteRow,
    InviteToken,
    ListInvites,
    MakeInvite,
    RevokeInvite,
    UseInvite,
    Welcome,
)
from ployz.actors.parts import Parts
from ployz.actors.work import transact
from ployz.config import MACHINES_MAX, Join
from ployz.errors import Code, Failed, Refused
from ployz.events.types import (
    ClusterFounded,
    InviteMade,
    InviteUsed,
    Lifecycle,
    MachineIdentified,
    MachineJoined,
)
from ployz.facts.invites import join_by_invite, make_invite, revoke_invite
from ployz.ids import InviteId
from ployz.plan.addresses import Subnets, machine_numbers_free
from ployz.projections.invites import Invite
from ployz.projections.machines import Member
from ployz.wire.certificates import certificate_flaw, fingerprint
from ployz.wire.invitation import SECRET_BYTES, Invitation, secret_hash, to_token
from ployz.wire.message import Done

TTL_MIN_S: Final = 10.0
TTL_MAX_S: Final = 30 * 24 * 3600.0


class InvitesActor(Actor):
    """`invites`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ------------------------------------------------------------ operators

    @handles(MakeInvite)
    async def make(self, message: MakeInvite) -> InviteToken:
        if not TTL_MIN_S <= message.ttl_s <= TTL_MAX_S:
            raise Refused(Code.USAGE, f"an invitation is open for {TTL_MIN_S:g} s to 30 days", "Give another --ttl.")
        cluster, me = self._cluster(), self._me()
        now_ms = self._parts.clock.wall_ms()
        invitation = Invitation(
            invite=InviteId.make(now_ms, self._parts.entropy(6)),
            cluster=cluster.cluster,
            endpoint=self._parts.config.endpoint,
            fingerprint=fingerprint(me.certificate) if me.certificate else "",
            secret=self._parts.entropy(SECRET_BYTES),
        )
        made = InviteMade(
            invitation.invite, self._parts.me, secret_hash(invitation.secret), now_ms + round(message.ttl_s * 1000)
        )
        await transact(self._parts, make_invite(made))
        return InviteToken(made.invite, to_token(invitation), made.expires_ms)

    @handles(ListInvites, concurrent=True)
    async def list(self, message: ListInvites) -> InviteList:  # noqa: ARG002 - it has nothing to say but "now"
        now_ms = self._parts.clock.wall_ms()
        return InviteList(
            tuple(
                InviteRow(each.invite, each.by, each.expires_ms, _state(each, now_ms))
                for each in self._parts.view.invites.newest_first()
            )
        )

    @handles(RevokeInvite)
    async def revoke(self, message: RevokeInvite) -> Done:
        known = self._known(message.invite)
        if not known.revoked:
            await transact(self._parts, revoke_invite(known.invite, known.secret_hash))
        return Done()

    # ------------------------------------------------------------ newcomers

    @handles(UseInvite)
    async def use(self, message: UseInvite) -> Welcome:
        """The newcomer's number is the lowest free one, by this machine's view; the transaction checks that it is.

        Who joined with it and asks again, since the answer was lost, is answered as before.
        """
        cluster = self._cluster()
        known = self._known(message.invite)
        if secret_hash(message.secret) != known.secret_hash or known.by != self._parts.me:
            raise Refused(Code.INVITE, f"{message.invite} is not the invitation with this secret")
        if flaw := certificate_flaw(message.certificate, message.machine):
            raise Refused(Code.IDENTITY, f"the certificate of {message.machine} cannot be used: {flaw}")
        if (again := self._joined_with(known, message)) is not None:
            return self._welcome(cluster, again)
        if not known.is_open(self._parts.clock.wall_ms()):
            text = f"invitation {known.invite} is {_state(known, self._parts.clock.wall_ms())}"
            raise Refused(Code.INVITE, text, "On a member, `ployzctl machine invite` makes another.")
        await self._join(cluster, known, message)
        return self._welcome(cluster, self._parts.view.machines[message.machine])

    async def _join(self, cluster: ClusterFounded, known: Invite, message: UseInvite) -> None:
        machines = self._parts.view.machines
        if machines.get(message.machine) is not None:
            text = f"there is a machine {message.machine} already"
            raise Refused(Code.MACHINE_EXISTS, text, "Give the new machine another name.")
        number = machine_numbers_free({member.number for member in machines.members.values()}, MACHINES_MAX)
        if number is None:
            raise Refused(Code.NO_ADDRESS, f"{cluster.cluster} has {MACHINES_MAX} machines, which is the most")
        ipv6, ipv4 = Subnets.of_cluster(cluster).machine(number)
        joined = MachineJoined(
            machine=message.machine,
            number=number,
            ipv6=ipv6,
            ipv4=ipv4,
            endpoint=message.endpoint,
            public_key=message.public_key,
            lifecycle=Lifecycle.ACTIVE,
        )
        identified = MachineIdentified(message.machine, message.certificate)
        used = InviteUsed(known.invite, message.machine)
        await transact(self._parts, join_by_invite(cluster.cluster, used, known.secret_hash, joined, identified))

    def _joined_with(self, known: Invite, message: UseInvite) -> Member | None:
        member = self._parts.view.machines.get(message.machine)
        if known.used_by != message.machine or member is None:
            return None
        same = (member.endpoint, member.public_key, member.certificate) == (
            message.endpoint,
            message.public_key,
            message.certificate,
        )
        return member if same else None

    def _welcome(self, cluster: ClusterFounded, joined: Member) -> Welcome:
        founder = self._parts.view.machines[cluster.founder]
        if founder.certificate is None:
            raise Failed(Code.IDENTITY, f"no fact names a certificate of {founder.machine}")
        way = Join(
            ipv6_prefix=cluster.ipv6_prefix,
            machine_ipv4_subnet=cluster.machine_ipv4_subnet,
            workload_ipv4_subnet=cluster.workload_ipv4_subnet,
            ipv6=joined.ipv6,
            ipv4=joined.ipv4,
            founder=founder.machine,
            founder_ipv6=founder.ipv6,
            founder_ipv4=founder.ipv4,
            founder_endpoint=founder.endpoint,
            founder_public_key=founder.public_key,
            founder_certificate=founder.certificate,
        )
        return Welcome(cluster.cluster, way)

    # ------------------------------------------------------------ inside

    def _cluster(self) -> ClusterFounded:
        cluster = self._parts.view.machines.cluster
        if cluster is None:
            raise Refused(Code.NOT_FOUNDED, f"{self._parts.me} is in no cluster yet", "ployzctl cluster init NAME")
        return cluster

    def _me(self) -> Member:
        me = self._parts.view.machines.get(self._parts.me)
        if me is None or me.certificate is None:
            raise Refused(Code.IDENTITY, f"{self._parts.me} is no member with a certificate, by the facts")
        return me

    def _known(self, invite: InviteId) -> Invite:
        known = self._parts.view.invites.get(invite)
        if known is None:
            raise Refused(Code.INVITE, f"there is no invitation {invite}", "Look at `ployzctl machine invites`.")
        return known


def _state(invite: Invite, now_ms: int) -> str:
    if invite.used_by is not None:
        return f"used by {invite.used_by}"
    if invite.revoked:
        return "revoked"
    return "open" if invite.is_open(now_ms) else "expired"
