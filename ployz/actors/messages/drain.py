"""To the actor `drain`: what leaves a machine, and where to, before any of it does."""

from __future__ import annotations

from attrs import frozen

from ployz.errors import Problem
from ployz.ids import MachineId, SlotRef
from ployz.plan.drain import Departure
from ployz.wire.message import READER, Message, message


@frozen
class SlotMove:
    slot: SlotRef
    to_machine: MachineId | None
    """None: it is of a global service, and ends."""


@frozen
class DepartureRow:
    """One operation of the drain, as its own preview has it."""

    departure: Departure
    slots: tuple[SlotMove, ...]
    size_bytes: int
    first_send_bytes: int
    predicted_cutover_ms: int
    blockers: tuple[Problem, ...]


@frozen
class Staying:
    subject: str
    """Empty: the reason names it."""
    reason: Problem


@frozen
class DrainPlan:
    machine: MachineId
    rows: tuple[DepartureRow, ...]
    """In the order in which they are begun."""
    stuck: tuple[Problem, ...]
    """What no operation can take away."""

    @property
    def going(self) -> tuple[DepartureRow, ...]:
        return tuple(row for row in self.rows if not row.blockers)

    @property
    def staying(self) -> tuple[Staying, ...]:
        """What stays, with all of its reasons."""
        rows = tuple(Staying(row.departure.subject, each) for row in self.rows for each in row.blockers)
        return (*(Staying("", each) for each in self.stuck), *rows)


@message("drain.preview", senders=READER)
@frozen
class PreviewDrain(Message[DrainPlan]):
    """Changes nothing. `to_machines`: empty for every other active machine. `bandwidth_bytes_s`: of each departure."""

    machine: MachineId
    to_machines: tuple[MachineId, ...]
    bandwidth_bytes_s: int | None = None
    gone: bool = False
    """It does not answer: what has no data there is made elsewhere."""
