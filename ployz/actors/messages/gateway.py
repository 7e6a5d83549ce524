"""To the actor `gateway`: which requests wait in a cut-over, and what every gateway does now."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId, OperationId, ServiceRef, SlotName
from ployz.wire.message import PEER, READER, Done, Message, message


@message("gateway.check", senders=PEER)
@frozen
class CheckGateway(Message[Done]):
    """From whoever is asked to make this machine one. `Refused` (MISSING_PART): HAProxy is not there."""


@frozen
class HoldBegun:
    holds: bool
    """False: this machine is no gateway any more."""
    running: int
    """HTTP requests that the service works on."""


@message("gateway.hold", senders=PEER)
@frozen
class HoldRoutes(Message[HoldBegun]):
    """From a coordinator, before it stops the service: from the answer on, new requests and connections wait here.

    They go on when this machine has followed the operation's decision, or was told to let them go, and the service
    answers. They are refused after `hold_ms`, by this machine's own clock.
    """

    operation_id: OperationId
    position: int
    service: ServiceRef
    slots: tuple[SlotName, ...]
    """Those that stop, while others of the service go on: they get nothing new, and nothing waits. Empty: all."""
    hold_ms: int


@frozen
class Drained:
    running: int
    """HTTP requests that were not answered in time."""


@message("gateway.drain", senders=PEER)
@frozen
class AwaitDrained(Message[Drained]):
    """From a coordinator, after HoldRoutes: when every running HTTP request is answered, or after `within_ms`."""

    service: ServiceRef
    slots: tuple[SlotName, ...]
    within_ms: int


@message("gateway.release", senders=PEER)
@frozen
class AwaitReleased(Message[Done]):
    """From a coordinator, after its commit, which ends a hold: when nothing waits here for that operation."""

    operation_id: OperationId
    service: ServiceRef
    within_ms: int


@message("gateway.let_go", senders=PEER)
@frozen
class LetGo(Message[Done]):
    """From a coordinator, before its commit, when slots that were held are ready where they were: answered when they
    get requests again. What is not held like this, any more, is let go.
    """

    operation_id: OperationId
    position: int
    service: ServiceRef
    slots: tuple[SlotName, ...]
    """As they were held."""


# ---------------------------------------------------------------- looking


@frozen
class RouteRow:
    route: str
    """`http://www.example.com/api`, `tcp 5432`."""
    service: ServiceRef
    container_port: int
    machines: tuple[MachineId, ...]
    """Where the slots are that answer, by the facts that this machine has."""


@frozen
class RouteList:
    position: int
    gateways: tuple[MachineId, ...]
    routes: tuple[RouteRow, ...]


@message("gateway.routes", senders=READER)
@frozen
class ListRoutes(Message[RouteList]):
    """From ployzctl on any member."""


@frozen
class BackendRow:
    backend: str
    state: str
    """`serving`, `holding`, `partly out` or `no slot`."""
    sessions: int
    held: int
    held_ever: int
    refused: int
    """Waited too long, or found too many waiting."""
    errors: int


@frozen
class GatewayRow:
    machine: MachineId
    answers: bool
    runs: bool = False
    position: int = 0
    """Of the fact that what it serves agrees with."""
    problems: tuple[str, ...] = ()
    backends: tuple[BackendRow, ...] = ()


@message("gateway.report", senders=PEER)
@frozen
class ReportGateway(Message[GatewayRow]):
    """From the gateway actor of the machine that an operator asks."""


@frozen
class GatewayList:
    position: int
    """Of the newest fact that the asked machine has."""
    gateways: tuple[GatewayRow, ...]


@message("gateway.status", senders=READER)
@frozen
class ShowGateways(Message[GatewayList]):
    """From ployzctl on any member."""

    machine: MachineId | None = None
    """None: all of them."""
