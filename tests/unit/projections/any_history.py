"""Histories of one machine's log as hypothesis makes them up: every event that there is, in any order that can be."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import attrs
from attrs import evolve
from hypothesis import strategies as st

from ployz.events.log import GENESIS_HASH, Record
from ployz.events.types import Event, Fact, FactMirrored, MachineJoined
from ployz.ids import InviteId, OperationId
from ployz.projections.folded import Folded
from tests.golden import samples

EVENTS: Final = tuple(each for each in samples.samples() if not isinstance(each, FactMirrored))
_FACTS: Final = tuple(each for each in EVENTS if isinstance(each, Fact))
_JOINED: Final = next(each for each in _FACTS if isinstance(each, MachineJoined))
BEGINNING: Final[tuple[Event, ...]] = (EVENTS[0], evolve(_JOINED, machine=samples.A, number=1), _JOINED)
_INVITE: Final = InviteId("inv-06bqk8v1h2c4000abcd")
OPERATIONS: Final = (
    *(OperationId.make(1_700_000_000_000 + number, bytes([7 - number] * 6)) for number in range(6)),
    OperationId("op-by-hand"),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    events = st.one_of(st.sampled_from(_FACTS), st.sampled_from(EVENTS))
    drawn = draw(st.lists(st.tuples(events, st.sampled_from(OPERATIONS)), max_size=80))
    return _possible([*((event, OPERATIONS[0]) for event in BEGINNING), *drawn])


def of_every_event() -> list[Record]:
    """One history with all of them: what removes something comes last."""
    events = sorted((*BEGINNING, *EVENTS[1:]), key=lambda each: each.event_name.endswith("removed"))
    return _possible([(event, OPERATIONS[0]) for event in events])


def _possible(events: Sequence[tuple[Event, OperationId]]) -> list[Record]:
    records: list[Record] = []
    for event, operation_id in events:
        longer = [*records, record(records, of_operation(event, operation_id), operation_id)]
        try:
            folded(longer)
        except KeyError:
            continue  # of something that is not there
        records = longer
    return records


def folded(records: Sequence[Record], onto: Folded | None = None) -> Folded:
    known = onto or Folded()
    for record in records:
        known.apply(record)
    return known


def of_operation(event: Any, operation_id: OperationId) -> Event:
    """The same of this operation, and of the one invitation there is."""
    changes = {
        "operation_id": operation_id,
        "container": f"production.db.slot-1.{operation_id}",
        "invite": _INVITE,
    }
    names = {each.name for each in attrs.fields(type(event))}
    changed: Event = evolve(event, **{name: value for name, value in changes.items() if name in names})
    return changed


def record(before: Sequence[Record], event: Event, operation_id: OperationId | None) -> Record:
    """The next one behind those, of a fact or of an event of this machine."""
    seq = len(before) + 1
    hash_ = hashlib.sha256(seq.to_bytes(4)).digest()
    if isinstance(event, Fact):
        event = FactMirrored(1 + sum(isinstance(each.event, FactMirrored) for each in before), hash_, event)
    previous_hash = before[-1].hash if before else GENESIS_HASH
    return Record(seq, seq * 1_000, "s", event, operation_id, None, previous_hash, hash_)
