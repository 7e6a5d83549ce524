"""To the actor `routing`: how far this machine's overlay has followed the facts, and the candidates it adds."""

from __future__ import annotations

from attrs import frozen

from ployz.actors.messages.workload import Candidate
from ployz.ids import MachineId, OperationId, ServiceRef
from ployz.wire.message import PEER, Done, Message, message


@frozen
class Reached:
    position: int
    """What the overlay of this machine agrees with now."""


@message("routing.await", senders=PEER)
@frozen
class AwaitPosition(Message[Reached]):
    """From a coordinator after its commit: answers when addresses and routes agree with `position`."""

    position: int


@message("routing.reserve")
@frozen
class ReserveAddress(Message[Done]):
    """From the workload actor: the network of this candidate is about to be made here, and is to be hidden first."""

    operation_id: OperationId
    service: ServiceRef
    candidate: Candidate


@message("routing.claim")
@frozen
class ClaimAddress(Message[Done]):
    """From the workload actor: this candidate's addresses are here, until its operation is decided."""

    operation_id: OperationId
    service: ServiceRef
    candidate: Candidate


@frozen
class Whereabouts:
    """Of one machine, as WireGuard of another one hears it."""

    endpoint: str
    """Empty: it is not heard there."""
    silent_ms: int
    """Since something of it came; -1: nothing did."""


@message("routing.ask_whereabouts", senders=PEER)
@frozen
class AskWhereabouts(Message[Whereabouts]):
    """From a machine that hears nothing of this one any more: where is it heard?"""

    machine: MachineId


@message("routing.tell_way", senders=PEER)
@frozen
class TellWay(Message[Done]):
    """From a machine whose interface on the way to this one takes only smaller packets. Said again while it is so."""

    mtu: int
