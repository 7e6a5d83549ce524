from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.errors import Code, Corrupt
from ployz.events.log import Record
from ployz.projections import operations
from ployz.projections.folded import Folded
from ployz.projections.snapshot import Unusable, dump, load
from tests.golden.samples import samples
from tests.unit.plan.bounds import BOUNDED
from tests.unit.projections.any_history import OPERATIONS, folded, histories, of_every_event

PLOYZ, ANOTHER = b"a" * 32, b"b" * 32


@BOUNDED
@given(histories(), st.data())
def test_a_snapshot_and_the_rest_of_the_log_fold_into_what_all_of_the_log_does(
    history: list[Record], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "WHOLE_MAX", data.draw(st.integers(0, 3), label="whole"))
        cut = data.draw(st.integers(0, len(history)), label="cut")
        kept = load(dump(folded(history[:cut]), PLOYZ), Folded, PLOYZ)
        assert kept == folded(history[:cut])
        resumed, whole = folded(history[cut:], kept), folded(history)
        assert resumed == whole
        assert dump(resumed, PLOYZ) == dump(whole, PLOYZ)  # also what equality does not see: the order of things
        statuses = [resumed.view.operations.status(each) for each in OPERATIONS]
        patch.setattr(operations, "WHOLE_MAX", 1_000)
        assert statuses == [folded(history).view.operations.status(each) for each in OPERATIONS]


def test_a_snapshot_of_another_ployz_is_refused() -> None:
    with pytest.raises(Unusable, match="made by another ployz"):
        load(dump(Folded(), ANOTHER), Folded, PLOYZ)
    with pytest.raises(Unusable, match="made by another ployz"):
        load(b"", Folded, PLOYZ)


@BOUNDED
@given(histories(), st.data())
def test_a_snapshot_with_one_wrong_byte_or_without_its_end_is_refused(
    history: list[Record], data: st.DataObject
) -> None:
    good = dump(folded(history), PLOYZ)
    place = data.draw(st.integers(0, len(good) - 1), label="place")
    wrong = bytearray(good)
    wrong[place] ^= data.draw(st.integers(1, 255), label="flip")
    for bad in (bytes(wrong), good[:place]):
        with pytest.raises(Unusable):
            load(bad, Folded, PLOYZ)


def test_what_any_event_leaves_survives_in_a_snapshot() -> None:
    history = of_every_event()
    events = {getattr(record.event, "fact", record.event).event_name for record in history}
    assert events == {each.event_name for each in samples()} - {"fact.mirrored"}
    for cut in range(len(history) + 1):
        kept = load(dump(folded(history[:cut]), PLOYZ), Folded, PLOYZ)
        assert folded(history[cut:], kept) == folded(history)


def test_a_log_in_which_a_fact_is_missing_is_not_folded() -> None:
    first, _, *others = of_every_event()
    with pytest.raises(Corrupt) as corrupt:
        folded([first, *others])
    assert corrupt.value.code is Code.LOG_CORRUPT
