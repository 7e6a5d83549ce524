from __future__ import annotations

import json

import pytest

from ployz.events.display import event_to_display, record_to_display
from ployz.events.log import Record
from ployz.events.types import Event, FactMirrored, MachineRemoved, SnapshotTaken, VoteCast
from ployz.ids import MachineId, OperationId, VolumeRef
from tests.golden.samples import samples

PGDATA = VolumeRef.parse("production/pgdata")


@pytest.mark.parametrize("event", samples(), ids=lambda event: event.event_name)
def test_every_event_is_plain_json_that_a_double_does_not_damage(event: Event) -> None:
    shown = event_to_display(event)
    assert json.loads(json.dumps(shown, allow_nan=False), parse_int=lambda text: int(float(text))) == shown


def test_a_number_that_a_double_cannot_hold_is_text() -> None:
    shown = event_to_display(VoteCast((SnapshotTaken(PGDATA, "s", 2**53), SnapshotTaken(PGDATA, "s", 2**53 + 1))))
    assert [each["guid"] for each in shown["snapshots"]] == [2**53, str(2**53 + 1)]


def test_a_mirrored_fact_is_shown_by_its_own_name() -> None:
    shown = event_to_display(FactMirrored(3, b"\x01\xff", MachineRemoved(MachineId("machine-b"))))
    fact = {"name": "machine.removed/1", "payload": {"machine": "machine-b"}}
    assert shown == {"position": 3, "hash": "01ff", "fact": fact}


def test_a_record_is_shown_with_its_place_time_and_operation() -> None:
    event = MachineRemoved(MachineId("machine-b"))
    record = Record(7, 1_772_366_400_001, "facts", event, OperationId("op-1"), "remove", b"\0", b"\x0a")
    assert record_to_display(record) == {
        "seq": 7,
        "at": "2026-03-01T12:00:00.001+00:00",
        "stream": "facts",
        "name": "machine.removed/1",
        "operation_id": "op-1",
        "step": "remove",
        "payload": {"machine": "machine-b"},
        "hash": "0a",
    }
