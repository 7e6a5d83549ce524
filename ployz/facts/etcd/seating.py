"""The cluster's own etcd: its members, what vouches for them, and how it is reached. A value, and its text.

Made once, before anything starts; then every member has it, so that any of them can give the place of a lost one to
another machine.
"""

from __future__ import annotations

import json
import secrets
from typing import Final, Self

from attrs import evolve, field, frozen

from ployz.errors import Code, Failed
from ployz.facts.etcd.access import EtcdAccess
from ployz.facts.etcd.certificates import Pair, issue, make_authority
from ployz.host.etcd.text import client_url
from ployz.host.ports.seats import Seat
from ployz.ids import MachineId
from ployz.strict import Malformed, make_converter, structure

USER: Final = "ployz"
PASSWORD_BYTES: Final = 24

Members = tuple[tuple[str, str], ...]
"""Names of machines, and their overlay addresses."""


@frozen
class Seating:
    members: Members
    authority: Pair
    """Signs for members and for who asks them, and for nothing else."""
    root_password: str = field(repr=False)
    """etcd's own operator, who may admit and remove members."""
    access: EtcdAccess
    """As the machines use it."""

    @classmethod
    async def make(cls, members: Members, name: str) -> Self:
        authority = await make_authority(name)
        client = await issue(authority, "machines", [])
        access = EtcdAccess(
            _endpoints(members),
            user=USER,
            password=secrets.token_urlsafe(PASSWORD_BYTES),
            ca_pem=authority.certificate_pem,
            certificate_pem=client.certificate_pem,
            key_pem=client.key_pem,
        )
        return cls(members, authority, secrets.token_urlsafe(PASSWORD_BYTES), access)

    @classmethod
    def parse(cls, text: str) -> Self:
        """`Failed` (PART_FAILED): it is none."""
        try:
            return structure(_converter, json.loads(text), cls)
        except (Malformed, ValueError) as error:
            raise Failed(
                Code.PART_FAILED, f"what is known of the cluster's etcd cannot be read: {error}", "Restore the file."
            ) from error

    def text(self) -> str:
        return json.dumps(_converter.unstructure(self), indent=1) + "\n"

    def machines(self) -> tuple[MachineId, ...]:
        return tuple(MachineId(name) for name, _ in self.members)

    def with_members(self, members: Members) -> Self:
        return evolve(self, members=members, access=evolve(self.access, endpoints=_endpoints(members)))

    async def seat(self, name: str, *, founds: bool) -> Seat:
        """With a new certificate of its own."""
        address = dict(self.members)[name]
        pair = await issue(self.authority, name, [address])
        return Seat(
            name=name,
            address=address,
            members=self.members,
            founds=founds,
            ca_pem=self.authority.certificate_pem,
            certificate_pem=pair.certificate_pem,
            key_pem=pair.key_pem,
        )

    def as_operator(self) -> EtcdAccess:
        return evolve(self.access, user="root", password=self.root_password)

    def as_nobody(self) -> EtcdAccess:
        """Before anybody is asked who he is."""
        return evolve(self.access, user="", password="")


def _endpoints(members: Members) -> tuple[str, ...]:
    return tuple(client_url(address) for _, address in members)


_converter = make_converter()
