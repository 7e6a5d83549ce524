"""Facts about the WireGuard keys of machines, which change beside the keys by which machines are known."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types.base import Fact, event
from ployz.ids import MachineId


@event("machine.key_announced", 1)
@frozen
class MachineKeyAnnounced(Fact):
    """It is about to use another WireGuard key: whoever follows takes it under both, from here on."""

    machine: MachineId
    public_key: str
    """WireGuard's, base64."""
    signature: str
    """Of the machine's own key, base64: who can write a fact can still not take its place."""


@event("machine.key_rotated", 1)
@frozen
class MachineKeyRotated(Fact):
    """It uses that one. The one before is nobody's any more."""

    machine: MachineId
    public_key: str
