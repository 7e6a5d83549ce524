from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from ployz.events.types import VolumePlacement
from ployz.ids import MachineId, OperationId
from ployz.plan import names
from ployz.plan.settle import (
    AbortReceive,
    Adopt,
    DiscardPartial,
    FoundDataset,
    Missing,
    Prune,
    Retire,
    SetAside,
    TakeOver,
    Tune,
    VolumeAction,
    settle_volume,
)
from ployz.projections.operations import Status
from ployz.projections.placement import Takeover
from tests.unit.plan.bounds import BOUNDED
from tests.unit.plan.examples import PGDATA

MADE, MOVED, ABORTED, RUNNING, UNKNOWN = (
    OperationId(f"op-{n}") for n in ("made", "moved", "aborted", "running", "new")
)
STATUS = {
    MADE: Status.COMMITTED,
    MOVED: Status.COMMITTED,
    ABORTED: Status.ABORTED,
    RUNNING: Status.UNDECIDED,
}
ME = MachineId("machine-a")
BASE = names.snapshot(MOVED, 2)
"""The final snapshot of the last move."""
QUOTA = 20 << 30


def owned(epoch: int) -> VolumePlacement:
    return VolumePlacement(PGDATA, ME, epoch)


def found(
    epoch: int,
    *snapshots: str,
    mounted: bool = False,
    readonly: bool = False,
    touched_by: OperationId | None = None,
    touched_base: str | None = None,
    quota_bytes: int = QUOTA,
    broken_off: bool = False,
    total_quota_bytes: int = 0,
    marked: bool | None = None,
) -> FoundDataset:
    """`marked`: as a copy. None: as one that is read-only, and not fenced."""
    return FoundDataset(
        volume=PGDATA,
        epoch=epoch,
        mounted=mounted,
        readonly=readonly,
        quota_bytes=quota_bytes,
        snapshots=snapshots,
        touched_by=touched_by,
        touched_base=touched_base,
        broken_off=broken_off,
        total_quota_bytes=total_quota_bytes,
        marked=readonly if marked is None else marked,
    )


def settled(
    fact: VolumePlacement | None,
    there: FoundDataset | None,
    base: str | None = None,
    declared_quota: int | None = QUOTA,
    taken: Takeover | None = None,
) -> list[VolumeAction]:
    return settle_volume(
        PGDATA,
        fact,
        there,
        me=ME,
        base=base,
        taken=taken,
        quota_bytes=declared_quota,
        operation_of=names.operation_of_snapshot,
        status_of=STATUS.get,
    )


def kinds(actions: list[VolumeAction]) -> list[type[VolumeAction]]:
    return [type(action) for action in actions]


# ---------------------------------------------------------------- the owner


def test_an_owner_whose_dataset_is_at_its_epoch_has_nothing_to_do() -> None:
    assert settled(owned(1), found(1, mounted=True)) == []


def test_a_quota_that_was_committed_is_set() -> None:
    assert settled(owned(1), found(1, quota_bytes=1 << 30)) == [Tune(PGDATA, QUOTA)]


def test_a_quota_that_counts_snapshots_becomes_one_of_the_data_alone() -> None:
    """As an older ployz has set it: a move would leave a base, and what fitted would fit no more."""
    older = found(1, quota_bytes=0, total_quota_bytes=QUOTA)
    assert settled(owned(1), older) == [Tune(PGDATA, QUOTA)]
    assert settled(owned(1), older, declared_quota=None) == [Tune(PGDATA, QUOTA)]


def test_the_quota_of_a_volume_that_no_manifest_declares_is_left_as_it_is() -> None:
    assert settled(owned(1), found(1, quota_bytes=1 << 30), declared_quota=None) == []


def test_a_new_volume_takes_its_epoch_when_it_is_committed() -> None:
    assert settled(owned(1), found(0, mounted=True, touched_by=MADE)) == [Adopt(PGDATA, 1)]


def test_a_volume_that_arrived_takes_its_epoch_by_the_final_snapshot_of_its_move() -> None:
    arrived = found(1, BASE, touched_by=MOVED, touched_base="anything")
    assert settled(owned(3), arrived, BASE) == [Adopt(PGDATA, 3)]


def test_a_dataset_without_the_final_snapshot_is_not_taken_for_the_volume() -> None:
    """Somebody destroyed it and made an empty one, or an old one came back with its pool."""
    (action,) = settled(owned(2), found(0, touched_by=MOVED), BASE)
    assert isinstance(action, Missing)
    assert BASE in action.problem.text


def test_a_dataset_that_this_log_does_not_know_is_not_taken_for_a_new_volume() -> None:
    assert kinds(settled(owned(1), found(0))) == [Missing]
    assert kinds(settled(owned(1), found(0, touched_by=ABORTED))) == [Missing]


def test_a_dataset_that_is_newer_than_the_facts_is_not_set_back() -> None:
    assert kinds(settled(owned(2), found(3, BASE, touched_by=MOVED), BASE)) == [Missing]


def test_an_owner_without_a_dataset_is_told_and_nothing_is_made_up() -> None:
    (action,) = settled(owned(1), None)
    assert isinstance(action, Missing)
    assert "its dataset is not there" in action.problem.text


def test_a_source_whose_move_was_aborted_is_writable_again() -> None:
    fenced = found(1, names.snapshot(ABORTED, 1), readonly=True, marked=False)
    assert settled(owned(1), fenced) == [Adopt(PGDATA, 1), Prune(PGDATA, (names.snapshot(ABORTED, 1),))]


# ---------------------------------------------------------------- everybody else


def test_who_has_nothing_of_a_volume_does_nothing() -> None:
    assert settled(None, None) == []


def test_a_source_that_gave_the_volume_away_keeps_it_as_a_read_only_base() -> None:
    given = found(1, names.snapshot(MOVED, 1), BASE, mounted=True)
    assert settled(None, given, BASE) == [Retire(PGDATA), Prune(PGDATA, (names.snapshot(MOVED, 1),))]


def test_a_copy_is_marked_for_tools_that_snapshot_what_they_find_and_the_volume_is_not() -> None:
    assert settled(None, found(1, BASE, readonly=True, marked=False), BASE) == [Retire(PGDATA)]
    assert settled(owned(1), found(1, marked=True)) == [Tune(PGDATA, QUOTA)]


def test_a_retired_copy_is_left_alone() -> None:
    assert settled(None, found(1, BASE, readonly=True), BASE) == []


def test_a_full_receive_of_an_aborted_operation_is_destroyed() -> None:
    partial = found(0, names.snapshot(ABORTED, 1), touched_by=ABORTED)
    assert settled(None, partial) == [DiscardPartial(PGDATA, None)]
    assert settled(None, found(0, touched_by=ABORTED)) == [DiscardPartial(PGDATA, None)]


def test_an_incremental_receive_of_an_aborted_operation_goes_back_to_its_base_and_is_retired() -> None:
    partial = found(1, BASE, names.snapshot(ABORTED, 1), mounted=True, touched_by=ABORTED, touched_base=BASE)
    assert settled(None, partial, BASE) == [DiscardPartial(PGDATA, BASE), Retire(PGDATA)]


def test_a_copy_that_went_back_is_not_rolled_back_again() -> None:
    assert settled(None, found(1, BASE, readonly=True, touched_by=ABORTED, touched_base=BASE), BASE) == []


def test_the_beginning_of_a_stream_that_broke_off_goes_when_its_operation_has_ended() -> None:
    for made_by, actions in (
        (ABORTED, [AbortReceive(PGDATA)]),
        (RUNNING, []),
        (UNKNOWN, []),
        (None, [AbortReceive(PGDATA)]),
    ):
        there = found(1, BASE, readonly=True, touched_by=made_by, touched_base=BASE, broken_off=True)
        assert settled(None, there, BASE) == actions
    assert settled(None, found(0, broken_off=True)) == [], "nobody knows whose that is"
    whole = found(0, touched_by=ABORTED, broken_off=True)
    assert settled(None, whole) == [DiscardPartial(PGDATA, None)]


def test_a_copy_that_an_aborted_operation_had_only_begun_to_use_is_kept() -> None:
    begun = found(1, BASE, readonly=False, touched_by=ABORTED, touched_base=BASE)
    assert settled(None, begun, BASE) == [Retire(PGDATA)]


def test_a_copy_is_never_destroyed_while_its_epoch_says_that_it_was_the_volume() -> None:
    assert kinds(settled(None, found(1, names.snapshot(MADE, 1), touched_by=MADE, mounted=True))) == [Retire, Prune]
    odd = found(1, names.snapshot(ABORTED, 1), touched_by=ABORTED, readonly=True)
    assert kinds(settled(None, odd)) == [Prune]


def test_a_dataset_that_nobody_here_made_is_not_touched() -> None:
    """Somebody restored a backup beside the volumes, or named a snapshot as ployz does."""
    assert settled(None, found(0, names.snapshot(ABORTED, 1), mounted=True)) == []
    assert settled(None, found(0, touched_by=UNKNOWN)) == []


# ---------------------------------------------------------------- while an operation is undecided


def test_a_receive_of_an_undecided_operation_is_left_alone() -> None:
    assert settled(None, found(0, names.snapshot(RUNNING, 1), mounted=True, touched_by=RUNNING)) == []


def test_a_source_that_is_fenced_stays_read_only() -> None:
    assert settled(owned(1), found(1, names.snapshot(RUNNING, 1), readonly=True)) == []


def test_nothing_is_pruned_while_an_operation_may_send_from_it() -> None:
    snapshots = (names.snapshot(ABORTED, 1), names.snapshot(RUNNING, 1))
    assert settled(owned(1), found(1, *snapshots, mounted=True)) == []


# ---------------------------------------------------------------- pruning


def test_pruning_keeps_the_base() -> None:
    snapshots = (names.snapshot(MADE, 1), names.snapshot(MOVED, 1), BASE, names.snapshot(ABORTED, 1))
    (prune,) = settled(owned(2), found(2, *snapshots, mounted=True), BASE)
    assert prune == Prune(PGDATA, (snapshots[0], snapshots[1], snapshots[3]))


def test_a_snapshot_whose_operation_no_fact_names_is_not_destroyed() -> None:
    assert settled(owned(1), found(1, names.snapshot(UNKNOWN, 1), "by-hand", mounted=True)) == []


# ---------------------------------------------------------------- for any world


@frozen
class World:
    fact: VolumePlacement | None
    dataset: FoundDataset | None
    base: str | None

    @property
    def at_work(self) -> bool:
        """An undecided operation has touched the dataset."""
        there = self.dataset
        return there is not None and RUNNING in {there.touched_by, *map(names.operation_of_snapshot, there.snapshots)}

    def settle(self) -> list[VolumeAction]:
        return settled(self.fact, self.dataset, self.base)

    def after(self, actions: Iterable[VolumeAction]) -> World:
        """What the actions leave, as the volume actor carries them out."""
        there = self.dataset
        for action in actions:
            match action:
                case Missing():
                    continue
                case DiscardPartial(_, None):
                    there = None
                    continue
            assert there is not None
            match action:
                case Adopt(_, epoch):
                    there = evolve(there, epoch=epoch, readonly=False)
                case Tune(_, quota_bytes):
                    there = evolve(there, quota_bytes=quota_bytes, total_quota_bytes=0, marked=False)
                case Retire():
                    there = evolve(there, mounted=False, readonly=True, marked=True)
                case DiscardPartial(_, str(base)):
                    assert base in there.snapshots
                    kept = there.snapshots[: there.snapshots.index(base) + 1]
                    there = evolve(there, mounted=False, snapshots=kept, broken_off=False)
                case AbortReceive():
                    there = evolve(there, broken_off=False)
                case Prune(_, snapshots):
                    assert set(snapshots) <= set(there.snapshots)
                    kept = tuple(each for each in there.snapshots if each not in snapshots)
                    there = evolve(there, snapshots=kept)
        return evolve(self, dataset=there)


_operations = st.sampled_from([MADE, MOVED, ABORTED, RUNNING, UNKNOWN])
_snapshots = st.lists(
    st.builds(names.snapshot, _operations, st.integers(1, 2)) | st.just("by-hand"), max_size=4, unique=True
)


@st.composite
def _worlds(draw: st.DrawFn) -> World:
    snapshots = draw(_snapshots)
    touched_by = draw(st.none() | _operations)
    older = [each for each in snapshots if names.operation_of_snapshot(each) != touched_by]
    there = FoundDataset(
        volume=PGDATA,
        epoch=draw(st.integers(0, 3)),
        mounted=draw(st.booleans()),
        readonly=draw(st.booleans()),
        quota_bytes=draw(st.sampled_from([0, QUOTA])),
        total_quota_bytes=draw(st.sampled_from([0, QUOTA])),
        marked=draw(st.booleans()),
        snapshots=tuple(older + [each for each in snapshots if each not in older]),
        touched_by=touched_by,
        touched_base=older[-1] if older and touched_by and draw(st.booleans()) else None,
        broken_off=draw(st.booleans()),
    )
    fact = draw(st.none() | st.integers(1, 3).map(owned))
    return World(fact, draw(st.none() | st.just(there)), draw(st.none() | st.just(BASE)))


@BOUNDED
@given(_worlds())
def test_settling_twice_equals_settling_once(world: World) -> None:
    after = world.after(world.settle())
    assert set(kinds(after.settle())) <= {Missing}


@BOUNDED
@given(_worlds())
def test_no_world_is_touched_while_an_operation_is_at_work_on_it(world: World) -> None:
    if world.at_work:
        assert world.settle() == []


@BOUNDED
@given(_worlds())
def test_the_base_and_what_is_not_ours_survive_everything_but_a_partial_that_was_made_here(world: World) -> None:
    after = world.after(world.settle())
    if world.dataset is not None and after.dataset is not None:
        precious = {each for each in world.dataset.snapshots if each in (world.base, "by-hand")}
        discarded = any(isinstance(each, DiscardPartial) for each in world.settle())
        assert discarded or precious <= set(after.dataset.snapshots)


@BOUNDED
@given(_worlds())
def test_only_who_owns_the_volume_can_write_to_it_in_the_end(world: World) -> None:
    there = world.dataset
    if world.fact is not None or there is None or there.epoch == 0 or world.at_work:
        return
    after = world.after(world.settle()).dataset
    assert after is not None
    assert after.readonly
    assert not after.mounted


# ---------------------------------------------------------------- takeovers

B = MachineId("machine-b")
WORD = OperationId("op-word")


def taken_from(machine: MachineId) -> Takeover:
    return Takeover(WORD, machine, 3, BASE)


def test_a_new_owner_by_takeover_goes_back_to_the_snapshot_that_was_shown() -> None:
    there = found(1, BASE, readonly=True)
    there_it_is_ours = [TakeOver(PGDATA, BASE, 3), Tune(PGDATA, QUOTA)]
    assert settled(owned(3), there, BASE, taken=taken_from(B)) == there_it_is_ours


def test_a_new_owner_by_takeover_also_takes_what_was_never_committed() -> None:
    there = found(0, BASE, touched_by=ABORTED)
    assert settled(owned(3), there, BASE, taken=taken_from(B)) == [TakeOver(PGDATA, BASE, 3)]


def test_a_new_owner_by_takeover_without_the_snapshot_must_be_looked_at() -> None:
    assert kinds(settled(owned(3), found(1), BASE, taken=taken_from(B))) == [Missing]


def test_a_takeover_that_was_carried_out_is_not_carried_out_again() -> None:
    assert settled(owned(3), found(3, BASE, mounted=True), BASE, taken=taken_from(B)) == []


def test_what_a_dead_owner_had_is_set_aside_when_it_is_back() -> None:
    assert settled(None, found(2, BASE), BASE, taken=taken_from(ME)) == [SetAside(PGDATA, WORD)]


def test_what_a_dead_owner_had_not_come_to_adopt_is_set_aside_too() -> None:
    there = found(0, BASE, touched_by=MOVED)
    assert settled(None, there, BASE, taken=taken_from(ME)) == [SetAside(PGDATA, WORD)]


def test_an_older_copy_of_a_volume_that_was_taken_over_is_retired_as_ever() -> None:
    assert kinds(settled(None, found(1, BASE), BASE, taken=taken_from(B))) == [Retire]
