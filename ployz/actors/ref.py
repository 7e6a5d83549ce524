"""Refs: how anybody asks an actor, with one call whether it lives in this node or on another machine.

A ref is an address, not an actor: it stays good while the actor is restarted, stopped and spawned again.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from attrs import frozen

from ployz.ids import MachineId
from ployz.wire.message import Message

R = TypeVar("R")


class Ref(Protocol):
    @property
    def address(self) -> str: ...

    async def ask(self, message: Message[R], *, timeout_s: float) -> R:
        """The reply; or what the actor refused with, raised here as the same class with the same Problem.

        `Refused`: UNKNOWN_ACTOR, MAILBOX_FULL, STOPPED: the message was never begun. `Unreachable`: TIMED_OUT,
        STOPPED, OUTCOME_UNKNOWN: it may or may not have been done. `Failed` with BUG: the actor broke on it.
        """
        ...


class Peers(Protocol):
    """The other machines, as the wire reaches them."""

    async def ask(self, machine: MachineId, to: str, message: Message[R], *, timeout_s: float) -> R:
        """As `Ref.ask`; and `Unreachable` with MACHINE_UNREACHABLE when the message was not even sent."""
        ...


@frozen
class RemoteRef:
    """An actor on another machine."""

    machine: MachineId
    address: str
    _peers: Peers

    async def ask(self, message: Message[R], *, timeout_s: float) -> R:
        return await self._peers.ask(self.machine, self.address, message, timeout_s=timeout_s)
