from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from ployz import __version__
from ployz.errors import Code
from ployz.events.chain import Walk, prepare, seal, sealed, to_record, verify
from ployz.events.codec import CODEC
from ployz.events.log import GENESIS_HASH, Entry, Row
from ployz.events.types import NodeStarted
from ployz.ids import MachineId, OperationId


def rows_of(count: int) -> list[Row]:
    entries = [
        Entry("node", NodeStarted(MachineId("machine-a"), str(number)), OperationId("op-1"), f"step-{number}")
        for number in range(1, count + 1)
    ]
    rows: list[Row] = []
    previous_hash = GENESIS_HASH
    for seq, (entry, encoded) in enumerate(zip(entries, prepare(entries, CODEC), strict=True), start=1):
        rows.append(seal(entry, encoded, seq=seq, at_ms=1_000 * seq, previous_hash=previous_hash))
        previous_hash = rows[-1].hash
    return rows


ROWS = rows_of(12)


def findings(rows: Sequence[Row]) -> list[tuple[int, str]]:
    return [(finding.seq, finding.text.split(":")[0]) for finding in verify(rows, CODEC)]


def replaced(seq: int, **columns: object) -> list[Row]:
    return [evolve(row, **columns) if row.seq == seq else row for row in ROWS]  # type: ignore[arg-type]


def swapped(one: int, other: int) -> list[Row]:
    places = {one: other, other: one}
    return sorted((evolve(row, seq=places.get(row.seq, row.seq)) for row in ROWS), key=lambda row: row.seq)


def test_a_whole_log_has_no_findings() -> None:
    assert findings(ROWS) == []
    assert findings([]) == []


def test_the_hash_of_a_row_is_what_it_always_was() -> None:
    assert ROWS[0].hash.hex() == "add70c8d67f72ede3fbc0bf6ea3fd17eb5a923a7375ce8b9e81e6cc97c521bf6"


@pytest.mark.parametrize(
    "columns",
    [
        {"at_ms": 1},
        {"stream": "other"},
        {"name": "node.stopped"},
        {"version": 2},
        {"payload": b""},
        {"operation_id": None},
        {"step": None},
        {"previous_hash": b""},
        {"seq": 99},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_every_column_is_under_the_hash(columns: dict[str, object]) -> None:
    assert sealed(evolve(ROWS[4], **columns)) != ROWS[4].hash  # type: ignore[arg-type]


def test_missing_rows_are_named_once() -> None:
    assert findings(ROWS[:4] + ROWS[5:]) == [(6, "5 is missing")]
    assert findings(ROWS[:4] + ROWS[7:]) == [(8, "5 to 7 are missing")]
    assert findings(ROWS[2:]) == [(3, "1 to 2 are missing")]


def test_a_changed_row_is_found() -> None:
    changed = "it was changed after it was written"
    assert findings(replaced(5, at_ms=1)) == [(5, changed)]
    assert findings(replaced(5, previous_hash=b"")) == [(5, changed)]
    assert findings(replaced(5, hash=b"")) == [(5, changed), (6, "it does not follow event 5")]


def test_a_row_that_was_changed_and_sealed_again_breaks_the_chain_behind_it() -> None:
    changed = evolve(ROWS[4], at_ms=1)
    assert findings(replaced(5, at_ms=1, hash=sealed(changed))) == [(6, "it does not follow event 5")]


@pytest.mark.parametrize(("one", "other"), [(1, 2), (4, 5), (4, 9), (11, 12)])
def test_swapped_rows_are_found_and_only_they(one: int, other: int) -> None:
    assert findings(swapped(one, other)) == [
        (one, f"it is really event {other}"),
        (other, f"it is really event {one}"),
    ]


def test_rows_out_of_order_are_found() -> None:
    found = findings([*ROWS[:3], ROWS[1]])
    assert found == [(2, "it stands behind event 3")]


@pytest.mark.parametrize(
    ("columns", "code", "text"),
    [
        ({"name": "moon.landed"}, Code.UNKNOWN_EVENT, f"moon.landed/1: ployz {__version__} knows no such event"),
        ({"version": 7}, Code.UNKNOWN_EVENT, f"node.started/7: ployz {__version__} knows it up to version 1"),
        ({"payload": b"\xc1"}, Code.MALFORMED_EVENT, "the payload of node.started/1 is malformed"),
        ({"operation_id": "NO ID"}, Code.MALFORMED_EVENT, "'NO ID' is no operation id"),
    ],
)
def test_an_event_that_cannot_be_read_is_a_finding_even_in_a_whole_chain(
    columns: dict[str, object], code: Code, text: str
) -> None:
    last = evolve(ROWS[-1], **columns)  # type: ignore[arg-type]
    (finding,) = verify([*ROWS[:-1], evolve(last, hash=sealed(last))], CODEC)
    assert (finding.seq, finding.code) == (12, code)
    assert finding.text.startswith(text)
    assert finding.error().code is code


def test_a_walk_starts_anywhere() -> None:
    walk = Walk(after=5, hash_there=ROWS[4].hash)
    assert [walk.step(row) for row in ROWS[5:]] == [None] * 7
    wrong = Walk(after=5, hash_there=b"").step(ROWS[5])
    assert wrong is not None
    assert Walk(after=5, hash_there=None).step(ROWS[5]) is None


def test_a_row_becomes_the_record_that_it_was_made_from() -> None:
    record = to_record(ROWS[2], CODEC)
    assert record.event == NodeStarted(MachineId("machine-a"), "3")
    assert (record.seq, record.at_ms, record.stream, record.step) == (3, 3_000, "node", "step-3")
    assert type(record.operation_id) is OperationId
