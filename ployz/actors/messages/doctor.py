"""To the actor `doctor`: what is wrong, over all machines, and whether their versions can work together."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId
from ployz.plan.doctor.findings import Finding
from ployz.plan.doctor.readings import Readings
from ployz.plan.doctor.versions import Speaker, Spoken
from ployz.wire.message import PEER, READER, Message, message


@frozen
class WallClock:
    now_ms: int


@message("doctor.ask_clock", senders=PEER)
@frozen
class AskClock(Message[WallClock]):
    """From the machine that an operator asked."""


@message("doctor.examine", senders=PEER)
@frozen
class Examine(Message[Readings]):
    """From the machine that an operator asked. Changes nothing."""

    position: int
    """Of the last fact there is: it is given a moment to follow up to there."""


@frozen
class Diagnosis:
    machines: tuple[MachineId, ...]
    """Every member; one that does not answer is a finding."""
    findings: tuple[Finding, ...]


@message("doctor.diagnose", senders=READER)
@frozen
class Diagnose(Message[Diagnosis]):
    """From ployzctl on any member. Examines all of them at once."""


@message("doctor.ask_versions", senders=PEER)
@frozen
class AskVersions(Message[Spoken]):
    """From the machine that an operator asked. Never changes: machines of other versions ask it."""


@frozen
class Versions:
    speakers: tuple[Speaker, ...]


@message("doctor.list_versions", senders=READER)
@frozen
class ListVersions(Message[Versions]):
    """From ployzctl on any member, perhaps a newer one than the machines run."""
