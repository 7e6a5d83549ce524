"""The transactions of an invitation: made, used once by a machine that joins, or revoked before that."""

from __future__ import annotations

from attrs import evolve

from ployz.events.types import InviteMade, InviteRevoked, InviteUsed, MachineIdentified, MachineJoined
from ployz.facts import keys
from ployz.facts.keys import InviteRecord, InviteState
from ployz.facts.port import Transaction
from ployz.facts.transactions import join_machine
from ployz.ids import ClusterName, InviteId


def make_invite(made: InviteMade) -> Transaction:
    record = keys.invite(made.invite)
    return Transaction(
        compares=(record.absent(),),
        puts=(record.put(InviteRecord(InviteState.OPEN, made.secret_hash)),),
        facts=(made,),
    )


def join_by_invite(
    cluster: ClusterName, used: InviteUsed, secret_hash: str, joined: MachineJoined, identified: MachineIdentified
) -> Transaction:
    """It is open, and this is its secret: of two that use it at once, one joins. Then as `join_machine`."""
    record = keys.invite(used.invite)
    before = InviteRecord(InviteState.OPEN, secret_hash)
    joining = join_machine(cluster, joined, identified)
    return Transaction(
        compares=(record.is_(before), *joining.compares),
        puts=(record.put(evolve(before, state=InviteState.USED)), *joining.puts),
        facts=(used, *joining.facts),
    )


def revoke_invite(invite: InviteId, secret_hash: str) -> Transaction:
    """It is open: one that was used made a member, whom `machine rm` removes."""
    record = keys.invite(invite)
    before = InviteRecord(InviteState.OPEN, secret_hash)
    return Transaction(
        compares=(record.is_(before),),
        puts=(record.put(evolve(before, state=InviteState.REVOKED)),),
        facts=(InviteRevoked(invite),),
    )
