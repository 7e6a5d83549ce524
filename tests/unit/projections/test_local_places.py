from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from ployz.events.log import Record
from ployz.events.types import Event, Fact, ReceivePrepared
from ployz.projections import local_places
from ployz.projections.local import LocalView
from ployz.projections.local_places import LocalPlaces
from tests.unit.plan.bounds import BOUNDED
from tests.unit.projections.any_history import EVENTS, OPERATIONS, of_operation, record

_OWN: Final = tuple(each for each in EVENTS if not isinstance(each, Fact))


def view_of(records: Sequence[Record]) -> LocalView:
    view = LocalView()
    for each in records:
        view.apply(each)
    return view


def places_in(records: Sequence[Record]) -> set[int]:
    places = LocalPlaces()
    for each in records:
        places.note(each)
    return set(places.seqs())


def _changes(event: Event) -> bool:
    """Whether any event after it could make a view another one."""
    made = record([], event, OPERATIONS[0])
    return any(
        view_of([*before, made]) != view_of(before)
        for before in ([], *([record([], of_operation(each, OPERATIONS[0]), OPERATIONS[0])] for each in _OWN))
    )


LOOKED_AT: Final = tuple(each for each in _OWN if _changes(of_operation(each, OPERATIONS[0])))


@st.composite
def own_histories(draw: st.DrawFn) -> list[Record]:
    records: list[Record] = []
    steps = st.tuples(
        st.sampled_from(LOOKED_AT), st.sampled_from([*OPERATIONS[:2], None]), st.sampled_from([None, "a"])
    )
    for sample, operation_id, base in draw(st.lists(steps, max_size=30)):
        event = of_operation(sample, operation_id or OPERATIONS[0])
        if isinstance(event, ReceivePrepared):
            event = evolve(event, base=base)
        records.append(record(records, event, operation_id))
    return records


@settings(BOUNDED, max_examples=1_500)
@given(own_histories())
def test_what_counts_makes_the_same_view_as_all_of_it(history: list[Record]) -> None:
    seqs = places_in(history)
    assert view_of([each for each in history if each.seq in seqs]) == view_of(history)


def test_what_is_passed_over_is_exactly_what_no_view_looks_at() -> None:
    assert {type(each) for each in _OWN} - {type(each) for each in LOOKED_AT} == set(local_places.NOTHING)


def test_an_event_that_this_page_does_not_know_counts_for_ever() -> None:
    @frozen
    class New(Event):
        pass

    assert places_in([record([], New(), None)]) == {1}


def test_what_a_finished_operation_said_here_does_not_count_for_ever() -> None:
    """But for the last cut-overs, which are bounded."""
    records: list[Record] = []
    closing = ("service.unfenced", "routes.released", "volume.destroyed", "container.started", "container.removed")
    in_order = sorted(LOOKED_AT, key=lambda each: each.event_name in closing)
    for operation_id in OPERATIONS * 10:
        for sample in in_order:
            if sample.event_name != "operation.finished":
                records.append(record(records, of_operation(sample, operation_id), operation_id))
    assert len(records) > 500
    assert len(places_in(records)) <= len(LOOKED_AT)
