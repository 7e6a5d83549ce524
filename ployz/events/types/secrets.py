"""Facts about secrets. A value is in none of them but encrypted, for the keys of the machines that may have it."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types.base import Fact, event
from ployz.ids import MachineId, Sealed, SecretRef


@frozen
class SecretShare:
    """The key of one version of a secret, encrypted for one machine."""

    machine: MachineId
    fingerprint: str
    """Of the certificate whose key opens it. A machine that has another one by now cannot."""
    key: Sealed


@event("secret.set", 1)
@frozen
class SecretSet(Fact):
    """An operator gave it a value, whatever it had before."""

    secret: SecretRef
    version: int
    """1 for a new one; rises by one each time."""
    sealed: Sealed
    """The value, encrypted with a key of its own."""
    shares: tuple[SecretShare, ...]
    """That key, for every machine that was a member."""


@event("secret.shared", 1)
@frozen
class SecretShared(Fact):
    """A machine that has the key encrypted it for another one, which is about to need it."""

    secret: SecretRef
    version: int
    share: SecretShare


@event("secret.removed", 1)
@frozen
class SecretRemoved(Fact):
    secret: SecretRef
