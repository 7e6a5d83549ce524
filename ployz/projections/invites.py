"""Which invitations there are, and what became of each: a fold of their facts."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, evolve, field, frozen

from ployz.events.types import Fact, InviteMade, InviteRevoked, InviteUsed
from ployz.ids import InviteId, MachineId


@frozen
class Invite:
    invite: InviteId
    by: MachineId
    secret_hash: str
    expires_ms: int
    used_by: MachineId | None = None
    revoked: bool = False

    def is_open(self, now_ms: int) -> bool:
        return self.used_by is None and not self.revoked and now_ms < self.expires_ms


@define
class Invites:
    _invites: dict[InviteId, Invite] = field(factory=dict)

    def get(self, invite: InviteId) -> Invite | None:
        return self._invites.get(invite)

    def newest_first(self) -> Sequence[Invite]:
        return list(reversed(self._invites.values()))

    def shown_until_ms(self, by: MachineId) -> int:
        """Until when somebody may come with an invitation of this machine; 0: nobody does.

        A used one counts: who joined with it, and lost the answer, comes again.
        """
        mine = (each.expires_ms for each in self._invites.values() if each.by == by and not each.revoked)
        return max(mine, default=0)

    def copy(self) -> Invites:
        return Invites(dict(self._invites))

    def apply(self, fact: Fact) -> None:
        match fact:
            case InviteMade():
                self._invites[fact.invite] = Invite(fact.invite, fact.by, fact.secret_hash, fact.expires_ms)
            case InviteUsed():
                self._invites[fact.invite] = evolve(self._invites[fact.invite], used_by=fact.machine)
            case InviteRevoked():
                self._invites[fact.invite] = evolve(self._invites[fact.invite], revoked=True)
            case _:
                pass
