"""Invitations: who may become a member, once, and for how long. Of its secret a fact has the hash alone."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types.base import Fact, event
from ployz.ids import InviteId, MachineId


@event("invite.made", 1)
@frozen
class InviteMade(Fact):
    invite: InviteId
    by: MachineId
    """Whom the newcomer turns to, and whose key it expects there."""
    secret_hash: str
    """SHA-256, in hexadecimal. The secret is 32 random bytes: nothing is gained by trying."""
    expires_ms: int
    """By the wall clock of `by`, which alone takes it."""


@event("invite.used", 1)
@frozen
class InviteUsed(Fact):
    invite: InviteId
    machine: MachineId


@event("invite.revoked", 1)
@frozen
class InviteRevoked(Fact):
    invite: InviteId
