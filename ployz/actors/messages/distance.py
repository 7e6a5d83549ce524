"""To the actor `distance`: how long a message takes to another machine and back."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId
from ployz.wire.message import PEER, READER, Message, message


@frozen
class Distance:
    """Of one pair, as `source` measured it: over the overlay, through both ployzds."""

    source: MachineId
    target: MachineId
    median_us: int
    """-1: no answer."""
    deviation_us: int
    """The median distance of a sample from the median."""
    samples: int


@frozen
class Distances:
    rows: tuple[Distance, ...]


@message("distance.measure", senders=PEER)
@frozen
class MeasureDistances(Message[Distances]):
    """From the machine that an operator asked: to every other member."""

    samples: int


@frozen
class DistanceTable:
    machines: tuple[MachineId, ...]
    rows: tuple[Distance, ...]
    silent: tuple[MachineId, ...]
    """They could not be asked to measure."""


@message("distance.show", senders=READER)
@frozen
class ShowDistances(Message[DistanceTable]):
    """Has every member measure, one after the other, so that they do not measure each other's work."""

    samples: int
