"""Every machine's mirror is a prefix of the one fact log, whatever crashed in the middle of it."""

from __future__ import annotations

from collections.abc import Sequence

from ployz.events.log import Record
from ployz.events.types import FactMirrored
from ployz.facts.port import SequencedFact


def strays(records: Sequence[Record], facts: Sequence[SequencedFact], position: int) -> tuple[list[str], int]:
    """What is wrong with these records of one machine, whose mirror was at `position` before them; and where it is."""
    wrong: list[str] = []
    for record in records:
        if not isinstance(record.event, FactMirrored):
            continue
        mirrored, position = record.event, position + 1
        if mirrored.position != position:
            wrong.append(f"mirrors fact {mirrored.position} where {position} is due")
            position = mirrored.position
        elif position > len(facts) or facts[position - 1].hash != mirrored.hash:
            wrong.append(f"mirrors a fact {position} ({mirrored.fact.event_name}) that the fact log does not have")
    return wrong, position
