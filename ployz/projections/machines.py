"""Who is in the cluster: a fold of the membership facts.

Addresses are numbers in the cluster's subnets: machine 3 is `PREFIX:0::3`, so a fact names the number once.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, evolve, field, frozen

from ployz.events.types import (
    ClusterFounded,
    ClusterSettingChanged,
    Fact,
    Lifecycle,
    MachineIdentified,
    MachineJoined,
    MachineKeyAnnounced,
    MachineKeyRotated,
    MachineLifecycleChanged,
    MachineRemoved,
    MachineSettingChanged,
)
from ployz.ids import Certificate, MachineId
from ployz.projections.settings import ENDPOINT, ClusterSettings, MachineSettings, Setting
from ployz.wire.certificates import is_vouched_for


@frozen
class Member:
    machine: MachineId
    number: int
    ipv6: str
    ipv4: str
    endpoint: str
    public_key: str
    lifecycle: Lifecycle
    settings: MachineSettings = field(factory=MachineSettings)
    certificate: Certificate | None = None
    """None: it is not identified, and trusted by nobody."""
    next_key: str | None = None
    """The WireGuard key to which it is about to change, and which its own key vouches for."""

    @property
    def active(self) -> bool:
        return self.lifecycle is Lifecycle.ACTIVE

    def with_(self, setting: Setting) -> Member:
        if setting.key == ENDPOINT:
            return evolve(self, endpoint=setting.value)
        return evolve(self, settings=self.settings.with_(setting))


@define
class Machines:
    """The members by name, and the cluster they belong to."""

    cluster: ClusterFounded | None = None
    _members: dict[MachineId, Member] = field(factory=dict)
    _removed: set[MachineId] = field(factory=set)
    settings: ClusterSettings = field(factory=ClusterSettings)

    @property
    def members(self) -> Mapping[MachineId, Member]:
        return self._members

    def __getitem__(self, machine: MachineId) -> Member:
        return self._members[machine]

    def get(self, machine: MachineId) -> Member | None:
        return self._members.get(machine)

    def was_removed(self, machine: MachineId) -> bool:
        """It was a member, and is none any more."""
        return machine in self._removed

    def in_order(self) -> list[Member]:
        return sorted(self._members.values(), key=lambda member: member.number)

    @property
    def certificates(self) -> dict[MachineId, Certificate]:
        """Of every member that is identified: whom this machine trusts."""
        return {each.machine: each.certificate for each in self._members.values() if each.certificate is not None}

    def copy(self) -> Machines:
        return Machines(self.cluster, dict(self._members), set(self._removed), self.settings)

    def apply(self, fact: Fact) -> None:
        match fact:
            case ClusterFounded():
                self.cluster = fact
            case ClusterSettingChanged():
                self.settings = self.settings.with_(Setting(fact.key, fact.value))
            case MachineJoined():
                self._removed.discard(fact.machine)
                self._members[fact.machine] = Member(
                    machine=fact.machine,
                    number=fact.number,
                    ipv6=fact.ipv6,
                    ipv4=fact.ipv4,
                    endpoint=fact.endpoint,
                    public_key=fact.public_key,
                    lifecycle=fact.lifecycle,
                )
            case MachineIdentified():
                self._members[fact.machine] = evolve(self._members[fact.machine], certificate=fact.certificate)
            case MachineLifecycleChanged():
                self._members[fact.machine] = evolve(self._members[fact.machine], lifecycle=fact.lifecycle)
            case MachineSettingChanged():
                self._members[fact.machine] = self._members[fact.machine].with_(Setting(fact.key, fact.value))
            case MachineKeyAnnounced() | MachineKeyRotated():
                self._members[fact.machine] = _with_key(self._members[fact.machine], fact)
            case MachineRemoved():
                self._members.pop(fact.machine, None)
                self._removed.add(fact.machine)
            case _:
                pass


def _with_key(member: Member, fact: MachineKeyAnnounced | MachineKeyRotated) -> Member:
    """A key that the machine's own does not vouch for changes nothing."""
    if isinstance(fact, MachineKeyRotated):
        is_next = member.next_key == fact.public_key
        return evolve(member, public_key=fact.public_key, next_key=None) if is_next else member
    believed = member.certificate is not None and is_vouched_for(
        member.certificate, fact.machine, fact.public_key, fact.signature
    )
    return evolve(member, next_key=fact.public_key) if believed else member
