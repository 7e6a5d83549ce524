"""To the actor `rotation`: another WireGuard key for a machine, while it is in use."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId
from ployz.wire.message import OPERATOR, PEER, Message, message


@frozen
class KeysRotated:
    machine: MachineId
    public_key: str
    """The new one."""
    position: int
    silent: tuple[MachineId, ...]
    """Members that did not answer before: they follow when they are back."""


@message("rotation.rotate", senders=OPERATOR | PEER)
@frozen
class RotateKeys(Message[KeysRotated]):
    """From ployzctl on any machine, which passes it on to the one that it names."""

    machine: MachineId
