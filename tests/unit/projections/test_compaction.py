from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ployz.events.log import Record
from ployz.events.types import (
    CommandGiven,
    DeployCommitted,
    Fact,
    OperationStarted,
    RoundEvidence,
    VolumePlacement,
    VolumeTakenOver,
)
from ployz.ids import MachineId, OperationId, VolumeRef
from ployz.projections import operations
from ployz.projections.compaction import Compaction
from ployz.projections.folded import Folded
from ployz.projections.snapshot import Unusable, dump, load
from tests.golden.samples import PGDATA, WAL, A, B
from tests.unit.plan.bounds import BOUNDED
from tests.unit.projections.any_history import BEGINNING, EVENTS, folded, of_every_event, of_operation, record
from tests.unit.projections.lawful_history import lawful_histories

PLOYZ = b"a" * 32


def compacted(history: Sequence[Record], cuts: Collection[int] = ()) -> tuple[Compaction, list[bytes]]:
    """As it is kept: in a piece for each cut, and read back in between."""
    compaction, pieces = Compaction(), []
    for each in history:
        compaction.note(each)
        if each.seq in cuts or each.seq == len(history):
            pieces.append(compaction.cut())
            compaction = load(dump(compaction, PLOYZ), Compaction, PLOYZ)
    return compaction, pieces


def begun(compaction: Compaction, pieces: Sequence[bytes], whole: int) -> tuple[Folded, Sequence[int]]:
    needs = compaction.needs(whole)
    for piece in pieces:
        needs.take(piece)
    return needs.begin()


def folded_by(compaction: Compaction, pieces: Sequence[bytes], history: Sequence[Record], whole: int) -> Folded:
    known, seqs = begun(compaction, pieces, whole)
    for seq in seqs:
        known.take_up(history[seq - 1])
    compaction.end(known)
    return known


@settings(BOUNDED, max_examples=400)
@given(lawful_histories(), st.data())
def test_what_still_counts_and_the_rest_of_the_log_fold_into_what_all_of_the_log_does(
    history: list[Record], data: st.DataObject
) -> None:
    places = st.integers(0, len(history))
    end = data.draw(places, label="end")
    cuts = data.draw(st.sets(places, max_size=3), label="cuts")
    whole = data.draw(st.integers(0, 3), label="whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "WHOLE_MAX", whole)
        known = folded_by(*compacted(history[:end], cuts), history, whole)
        assert known == folded(history[:end])
        assert folded(history[end:], known) == folded(history)


def test_of_every_event_the_fold_is_the_same() -> None:
    """No event changes a projection behind the back of the rule that says which ones count."""
    history = of_every_event()
    for end in range(len(history) + 1):
        assert folded_by(*compacted(history[:end]), history, 1_000) == folded(history[:end])


def test_a_volume_that_the_last_commit_does_not_name_has_the_owner_that_an_earlier_one_gave_it() -> None:
    history = committed(on(PGDATA, A, 1), on(WAL, A, 1)), committed(on(PGDATA, B, 2)), committed(on(PGDATA, A, 3))
    known = fold_of(*history)
    assert known.view.placement.volumes == {WAL: on(WAL, A, 1), PGDATA: on(PGDATA, A, 3)}


def test_a_volume_that_stayed_has_the_base_of_its_own_last_move() -> None:
    history = committed(on(WAL, B, 2), evidence=(WAL,)), *(committed(on(WAL, B, 2), on(PGDATA, A, 1)) for _ in range(2))
    base = fold_of(*history).view.placement.base(WAL)
    assert base is not None
    assert base.snapshot == "final-1"


def test_a_takeover_stands_on_the_commit_before_it_also_when_another_one_came_after() -> None:
    taken = next(each for each in EVENTS if isinstance(each, VolumeTakenOver))
    first = committed(on(PGDATA, B, 2)), evolve(taken, operation_id=OperationId("op-taken"))
    assert fold_of(*first).view.placement.takeover(PGDATA) is not None
    assert fold_of(*first, committed(on(PGDATA, A, 3))).view.placement.takeover(PGDATA) is not None
    assert fold_of(*first, committed(on(PGDATA, B, 4))).view.placement.takeover(PGDATA) is None


def test_what_a_later_commit_says_anew_is_passed_over() -> None:
    history = moves(50)
    _, seqs = begun(*compacted(history), whole=2)
    last, before = len(history), len(history) - 3
    assert list(seqs) == [1, 2, 3, before - 2, before, last - 2, last]  # the beginning, and two operations


@pytest.mark.parametrize("damage", ["changed", "lost", "swapped", "none"])
def test_pieces_that_are_not_those_that_were_cut_are_refused(damage: str) -> None:
    compaction, pieces = compacted(moves(6), cuts=(8, 14))
    damaged = {
        "changed": [pieces[0], bytes([pieces[1][0] ^ 1]) + pieces[1][1:], pieces[2]],
        "lost": pieces[:2],
        "swapped": [pieces[1], pieces[0], pieces[2]],
        "none": [],
    }[damage]
    with pytest.raises(Unusable, match="what was decided"):
        begun(compaction, damaged, 1)


def test_a_record_is_noted_in_its_place() -> None:
    first, second, third, *_ = of_every_event()
    compaction = Compaction()
    compaction.note(first)
    for wrong in (first, third):
        with pytest.raises(AssertionError):
            compaction.note(wrong)
    compaction.note(second)


def moves(many: int) -> list[Record]:
    """Of one namespace, one after the other, and an event between any two that no projection looks at."""
    records: list[Record] = []
    for event in BEGINNING:
        records.append(record(records, event, OperationId("op-none")))
    for number in range(many):
        operation_id = OperationId.make(1_700_000_000_000 + number, bytes(6))
        for sample in (OperationStarted, CommandGiven, DeployCommitted):
            event = next(each for each in EVENTS if isinstance(each, sample))
            records.append(record(records, of_operation(event, operation_id), operation_id))
    return records


def on(volume: VolumeRef, machine: MachineId, epoch: int) -> VolumePlacement:
    return VolumePlacement(volume, machine, epoch)


def committed(*volumes: VolumePlacement, evidence: Sequence[VolumeRef] = ()) -> DeployCommitted:
    sample = next(each for each in EVENTS if isinstance(each, DeployCommitted))
    return evolve(
        sample, volumes=volumes, evidence=tuple(RoundEvidence(each, 1, None, "", 7, 1, 1) for each in evidence)
    )


def fold_of(*facts: Fact) -> Folded:
    """By what counts of them, none of which is among the last operations; and it is what all of them fold into."""
    records: list[Record] = []
    for event in BEGINNING:
        records.append(record(records, event, OperationId("op-none")))
    sample = next(each for each in EVENTS if isinstance(each, OperationStarted))
    for number, fact in enumerate(facts, start=1):
        operation_id = OperationId.make(1_700_000_000_000 + number, bytes(6))
        events: list[Fact] = [fact]
        if isinstance(fact, DeployCommitted):
            rounds = tuple(evolve(each, snapshot=f"final-{number}") for each in fact.evidence)
            ours = evolve(fact, operation_id=operation_id, evidence=rounds)
            events = [evolve(sample, operation_id=operation_id), ours]
        for event in events:
            records.append(record(records, event, operation_id))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "WHOLE_MAX", 0)
        known = folded_by(*compacted(records), records, 0)
        assert known == folded(records)
    return known
