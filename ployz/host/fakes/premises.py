"""Premises in memory: nothing is missing, until a test says what."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from ployz.host.ports import ExpiringCertificate, StateRoom
from ployz.ids import Certificate


@define(eq=False)
class FakePremises:
    own: Certificate
    own_addresses: list[str] = field(factory=lambda: ["192.0.2.7"], init=False)
    lacks: list[str] = field(factory=list, init=False)
    expiring: list[ExpiringCertificate] = field(factory=list, init=False)
    room: StateRoom = field(default=StateRoom("/", 1 << 30, 1 << 29, 1000, 500), init=False)

    async def missing(self) -> Sequence[str]:
        return tuple(self.lacks)

    async def identity(self) -> Certificate:
        return self.own

    async def certificates(self) -> Sequence[ExpiringCertificate]:
        return tuple(self.expiring)

    async def addresses(self) -> Sequence[str]:
        return tuple(self.own_addresses)

    async def state_room(self) -> StateRoom:
        return self.room
