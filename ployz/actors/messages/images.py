"""To the actor `images`: an image is present, pulled, or copied from a machine that has it."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId, OperationId, ServiceRef
from ployz.wire.message import PEER, Done, Message, message
from ployz.wire.streams import Ticket


@frozen
class ImageReady:
    image_id: str


@message("images.ensure", senders=PEER)
@frozen
class EnsureImage(Message[ImageReady]):
    """From a coordinator to the machine that will need it."""

    operation_id: OperationId
    position: int
    reference: str
    image_id: str
    """Empty: whatever `reference` is pulled as."""
    copied_from: MachineId | None


@message("images.fetch")
@frozen
class FetchImage(Message[ImageReady]):
    """From this machine's workloads: the image of a slot that runs here was taken away. It comes from whoever has it,
    and if nobody does, by a pull.
    """

    service: ServiceRef
    reference: str
    image_id: str


@message("images.send", senders=PEER)
@frozen
class SendImage(Message[Done]):
    """From the `images` actor of the machine that needs it: send it into this ticket."""

    image_id: str
    ticket: Ticket
