"""Events of services on one machine: the gate, the votes, images, containers, and their addresses."""

from __future__ import annotations

from attrs import frozen

from ployz.events.types.base import Event, event
from ployz.events.types.values import SnapshotTaken
from ployz.ids import OperationId, ServiceRef, SlotName, SlotRef


@event("service.fenced", 1)
@frozen
class ServiceFenced(Event):
    """The start gate is closed: nothing of this service starts here until the operation is decided."""

    service: ServiceRef
    operation_id: OperationId


@event("service.unfenced", 1)
@frozen
class ServiceUnfenced(Event):
    service: ServiceRef
    operation_id: OperationId


@event("vote.cast", 1)
@frozen
class VoteCast(Event):
    """This machine's word on the final snapshots, as the fact store has it."""

    snapshots: tuple[SnapshotTaken, ...]


@event("image.received", 1)
@frozen
class ImageReceived(Event):
    image_id: str
    how: str
    """`present`, `pulled` or `copied`."""


@event("container.created", 1)
@frozen
class ContainerCreated(Event):
    slot: SlotRef
    container: str


@event("container.started", 1)
@frozen
class ContainerStarted(Event):
    slot: SlotRef
    container: str


@event("container.ready", 1)
@frozen
class ContainerReady(Event):
    slot: SlotRef
    container: str
    attempts: int


@event("container.unready", 1)
@frozen
class ContainerUnready(Event):
    """It runs, was ready or had its time, and did not answer some looks in a row. Once, until it is ready again."""

    slot: SlotRef
    container: str
    why: str
    """What the last look said."""


@event("container.stopped", 1)
@frozen
class ContainerStopped(Event):
    slot: SlotRef
    container: str


@event("container.finished", 1)
@frozen
class ContainerFinished(Event):
    """What it runs had ended at the machine that had its slot before, for good: it is made here to stay as it is.

    Appended before that.
    """

    slot: SlotRef
    container: str
    exit_code: int


@event("container.removed", 1)
@frozen
class ContainerRemoved(Event):
    slot: SlotRef
    container: str


@event("service.hook_ran", 1)
@frozen
class HookRan(Event):
    """It went well. One that failed is an `operation.step_failed`."""

    slot: SlotRef
    hook: str
    """`before_snapshot` or `after_snapshot`."""
    container: str


@event("container.exited", 1)
@frozen
class ContainerExited(Event):
    """By itself: nobody here stopped it."""

    slot: SlotRef
    container: str
    exit_code: int


@event("container.restarted", 1)
@frozen
class ContainerRestarted(Event):
    slot: SlotRef
    container: str
    reason: str


@event("address.reserved", 1)
@frozen
class AddressReserved(Event):
    """The network of a candidate is about to be made here, ahead of its start. Nobody hears of it until the claim."""

    slot: SlotRef
    ipv6: str
    ipv4: str


@event("address.claimed", 1)
@frozen
class AddressClaimed(Event):
    """A candidate's address is local before it is routed: only this machine reaches it here."""

    slot: SlotRef
    ipv6: str
    ipv4: str


@event("routes.held", 1)
@frozen
class RoutesHeld(Event):
    """This machine's gateway is about to let new requests and connections to the service wait."""

    service: ServiceRef
    slots: tuple[SlotName, ...]
    """Those that stop while others go on: they get nothing new, and nothing waits. Empty: all of the service."""
    until_ms: int
    """Wall time. What waits then is refused."""


@event("routes.released", 1)
@frozen
class RoutesReleased(Event):
    """The hold is over, as the operation was decided."""

    service: ServiceRef
    held: int
    """Requests and connections that waited."""
    refused: int
    """Those that waited until the end of the hold, or found too many waiting."""
