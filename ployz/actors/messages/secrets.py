"""To the actor `secrets`. No message has a value: `ployzctl` encrypts it before it sends anything."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types import SecretShare
from ployz.ids import Certificate, MachineId, Sealed, SecretRef, ServiceRef
from ployz.wire.message import OPERATOR, PEER, READER, Done, Message, message


@frozen
class Recipient:
    machine: MachineId
    certificate: Certificate


@frozen
class SealFor:
    """For whom a new value is to be encrypted, and as which version."""

    version: int
    recipients: tuple[Recipient, ...]


@message("secrets.prepare", senders=OPERATOR)
@frozen
class PrepareSecret(Message[SealFor]):
    """From ployzctl: changes nothing."""

    secret: SecretRef


@frozen
class SecretIsSet:
    secret: SecretRef
    version: int
    readers: tuple[MachineId, ...]
    used_by: tuple[ServiceRef, ...]
    """Services whose containers have the value of before, until they are replaced or started again."""


@message("secrets.set", senders=OPERATOR)
@frozen
class SetSecret(Message[SecretIsSet]):
    """From ployzctl."""

    secret: SecretRef
    version: int
    sealed: Sealed
    shares: tuple[SecretShare, ...]


@frozen
class SecretRow:
    secret: SecretRef
    version: int
    set_ms: int
    used_by: tuple[ServiceRef, ...]
    readers: tuple[MachineId, ...]
    former_readers: tuple[MachineId, ...]
    """Who could read this version, and left the cluster since."""


@frozen
class SecretList:
    secrets: tuple[SecretRow, ...]


@message("secrets.list", senders=READER)
@frozen
class ListSecrets(Message[SecretList]):
    """From ployzctl."""


@message("secrets.remove", senders=OPERATOR)
@frozen
class RemoveSecret(Message[Done]):
    """Refused while a manifest declares it."""

    secret: SecretRef


@frozen
class Shared:
    position: int


@message("secrets.share", senders=PEER)
@frozen
class ShareSecret(Message[Shared]):
    """From a coordinator, to a machine that can read the secret: encrypt it for that one too."""

    secret: SecretRef
    machine: MachineId


@message("secrets.await", senders=PEER)
@frozen
class AwaitSecret(Message[Done]):
    """From a coordinator, to a machine that is about to need it: answered when it can read it."""

    secret: SecretRef
    position: int
