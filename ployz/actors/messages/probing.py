"""To the actor `machine`, before a plan. Apart from `machine`, as what is reported takes long to import."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId, Namespace, VolumeRef
from ployz.plan.reports import MachineReport
from ployz.wire.message import PEER, Message, message


@message("machine.probe", senders=PEER)
@frozen
class ProbeMachine(Message[MachineReport]):
    """From a coordinator, before it plans. Changes nothing."""

    images: tuple[str, ...]
    volumes: tuple[VolumeRef, ...]
    sends_to: tuple[MachineId, ...] = ()
    """Whether this machine reaches them."""
    hindrances: bool = False
    """Look also for what would keep the volumes from moving or going: datasets below, holds, clones."""
    namespace: Namespace | None = None
    """Of whose containers it is asked what they have written where no mount is, and which have ended."""
