"""To the actor `invites`: asking a machine in, and coming in."""

from __future__ import annotations

from attrs import frozen

from ployz.config import Join
from ployz.ids import Certificate, ClusterName, Endpoint, InviteId, MachineId, WireGuardKey
from ployz.wire.message import NEWCOMER, OPERATOR, READER, Done, Message, message


@frozen
class InviteToken:
    invite: InviteId
    token: str
    """What the newcomer is given. It is shown this once."""
    expires_ms: int


@message("invites.make", senders=OPERATOR)
@frozen
class MakeInvite(Message[InviteToken]):
    """From ployzctl: for one machine, which turns to this one."""

    ttl_s: float


@frozen
class InviteRow:
    invite: InviteId
    by: MachineId
    expires_ms: int
    state: str
    """`open`, `used by machine-b`, `revoked`, `expired`."""


@frozen
class InviteList:
    invites: tuple[InviteRow, ...]
    """The newest first."""


@message("invites.list", senders=READER)
@frozen
class ListInvites(Message[InviteList]):
    """From ployzctl."""


@message("invites.revoke", senders=OPERATOR)
@frozen
class RevokeInvite(Message[Done]):
    """From ployzctl on any member."""

    invite: InviteId


@frozen
class Welcome:
    """What a new member needs to reach the cluster for the first time. It holds no secret."""

    cluster: ClusterName
    way: Join


@message("invites.use", senders=NEWCOMER)
@frozen
class UseInvite(Message[Welcome]):
    """From a machine that is no member yet, to the one that invited it, whose certificate it has compared."""

    invite: InviteId
    secret: bytes
    machine: MachineId
    endpoint: Endpoint
    public_key: WireGuardKey
    certificate: Certificate
