from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.ids import OperationId
from ployz.projections import operations
from ployz.projections.archive import Archive, Archived
from ployz.projections.operations import Operations, Status
from tests.unit.plan.bounds import BOUNDED
from tests.unit.projections.examples import aborted, started

IDS = [OperationId.make(1_700_000_000_000 + number, bytes([number] * 6)) for number in range(6)]

MADE = st.builds(OperationId.make, st.integers(0, 2**46 - 1), st.binary(min_size=6, max_size=6))
OF_ANY_NAME = st.from_regex(r"op-[a-z0-9]{1,22}", fullmatch=True).map(OperationId)
POSITION = st.integers(1, 2**48 - 1)
ARCHIVED = st.builds(Archived, st.booleans(), POSITION, POSITION)


@BOUNDED
@given(st.dictionaries(st.one_of(MADE, OF_ANY_NAME), ARCHIVED), st.lists(st.one_of(MADE, OF_ANY_NAME)))
def test_what_is_archived_is_found_again_and_nothing_else(
    known: dict[OperationId, Archived], others: list[OperationId]
) -> None:
    archive = Archive()
    for operation_id, archived in known.items():
        archive.add(operation_id, archived)
    for operation_id in (*known, *others):
        assert archive.get(operation_id) == known.get(operation_id)


@given(MADE, MADE)
def test_the_numbers_of_ids_sort_as_the_ids_do(one: OperationId, other: OperationId) -> None:
    assert one.number is not None
    assert other.number is not None
    assert (one.number < other.number) == (str(one) < str(other))


@pytest.fixture
def _two_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "WHOLE_MAX", 2)


def decided(*ids: OperationId, undecided: tuple[OperationId, ...] = ()) -> Operations:
    known = Operations()
    position = 0
    for each in (*undecided, *ids):
        position += 1
        known.apply(started(each), position, position)
    for each in ids:
        position += 1
        known.apply(aborted(each), position, position)
    return known


@pytest.mark.usefixtures("_two_whole")
def test_the_last_decided_ones_are_whole_and_of_the_others_it_is_known_how_they_ended_and_where() -> None:
    known = decided(*IDS)
    assert list(known.all) == IDS[-2:]
    assert {known.status(each) for each in IDS} == {Status.ABORTED}
    assert known.get(IDS[0]) is None
    assert known.archived(IDS[0]) == Archived(committed=False, started_position=1, position=7)
    assert known.archived(IDS[-1]) is None
    assert known.status(OperationId("op-never")) is None


@pytest.mark.usefixtures("_two_whole")
def test_what_is_undecided_is_whole_however_old_it_is() -> None:
    known = decided(*IDS[1:], undecided=(IDS[0],))
    assert [each.operation_id for each in known.undecided()] == [IDS[0]]
    known.apply(aborted(IDS[0]), 99, 99)
    assert known[IDS[0]].position == 99
    assert known.undecided() == []
