"""Which secrets are set, and for whose keys each is encrypted: a fold of their facts. Nothing here can be read."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, evolve, field, frozen

from ployz.events.types import Fact, SecretRemoved, SecretSet, SecretShare, SecretShared
from ployz.ids import MachineId, Sealed, SecretRef


@frozen
class Secret:
    """Its newest version: the older ones are of use to nobody."""

    secret: SecretRef
    version: int
    sealed: Sealed
    shares: Mapping[MachineId, SecretShare]
    set_ms: int


@define
class Secrets:
    _secrets: dict[SecretRef, Secret] = field(factory=dict)

    def get(self, secret: SecretRef) -> Secret | None:
        return self._secrets.get(secret)

    def in_order(self) -> list[Secret]:
        return [each for _, each in sorted(self._secrets.items())]

    def copy(self) -> Secrets:
        return Secrets(dict(self._secrets))

    def apply(self, fact: Fact, at_ms: int) -> None:
        match fact:
            case SecretSet():
                shares = {each.machine: each for each in fact.shares}
                self._secrets[fact.secret] = Secret(fact.secret, fact.version, fact.sealed, shares, at_ms)
            case SecretShared():
                secret = self._secrets[fact.secret]
                shares = {**secret.shares, fact.share.machine: fact.share}
                self._secrets[fact.secret] = evolve(secret, shares=shares)
            case SecretRemoved():
                self._secrets.pop(fact.secret, None)
            case _:
                pass
