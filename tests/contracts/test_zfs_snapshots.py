"""The contract of the ZFS port: snapshots, instants, holds and rollbacks."""

from __future__ import annotations

import random

import pytest

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset
from tests.zfs_benches import MIB, Bench, go, mountpoint, raises, state_of, volume


def test_a_snapshot_taken_again_is_the_same_one(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {})
        first = await bench.zfs.snapshot([top], "one")
        assert await bench.zfs.snapshot([top], "one") == first
        assert (await state_of(bench, top)).snapshot("one") == first[top]

    go(main)


def test_snapshots_are_listed_oldest_first(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {})
        for name in ("zebra", "ant", "mole"):
            await bench.zfs.snapshot([top], name)
        assert [each.name for each in (await state_of(bench, top)).snapshots] == ["zebra", "ant", "mole"]

    go(main)


def test_the_snapshots_of_children_are_not_a_datasets_own(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(f"{top}/child", {})
        await bench.zfs.snapshot([f"{top}/child"], "one")
        assert (await state_of(bench, top)).snapshots == ()

    go(main)


def test_several_datasets_are_snapshot_and_no_other_is_left_with_one(bench: Bench, top: Dataset) -> None:
    wanted = [f"{top}/production/data", f"{top}/production/wal"]

    async def main() -> None:
        for dataset in (*wanted, f"{top}/production/other", f"{top}/production/other/deep"):
            await bench.zfs.create(dataset, {})
        taken = await bench.zfs.snapshot(wanted, "final")
        assert list(taken) == wanted
        assert len({each.guid for each in taken.values()}) == 2
        for dataset in (top, *await bench.zfs.children(top)):
            names = [each.name for each in (await state_of(bench, dataset)).snapshots]
            assert names == (["final"] if dataset in wanted else [])
        assert await bench.zfs.snapshot(wanted, "final") == taken

    go(main)


def test_a_namesake_on_another_dataset_is_neither_in_the_way_nor_removed(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        for name in ("a", "b", "c"):
            await bench.zfs.create(f"{top}/{name}", {})
        before = await bench.zfs.snapshot([f"{top}/c"], "final")
        taken = await bench.zfs.snapshot([f"{top}/a", f"{top}/b"], "final")
        assert (await state_of(bench, f"{top}/a")).snapshots == (taken[f"{top}/a"],)
        assert (await state_of(bench, f"{top}/b")).snapshots == (taken[f"{top}/b"],)
        assert (await state_of(bench, f"{top}/c")).snapshots == (before[f"{top}/c"],)
        assert (await state_of(bench, top)).snapshots == ()

    go(main)


def test_snapshots_of_different_instants_are_not_passed_off_as_one(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        for name in ("a", "b"):
            await bench.zfs.create(f"{top}/{name}", {})
        await bench.zfs.snapshot([f"{top}/a"], "final")
        await bench.zfs.snapshot([f"{top}/a", f"{top}/b"], "final")

    assert "one instant" in raises(Code.ZFS_FAILED, main)


def test_a_snapshot_of_an_absent_dataset_is_a_failure(bench: Bench, top: Dataset) -> None:
    assert top in raises(Code.ZFS_FAILED, lambda: bench.zfs.snapshot([top], "one"))


def test_a_snapshot_is_destroyed_once_and_then_absent(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {})
        await bench.zfs.snapshot([top], "one")
        await bench.zfs.destroy_snapshot(top, "one")
        assert (await state_of(bench, top)).snapshots == ()
        await bench.zfs.destroy_snapshot(top, "one")
        await bench.zfs.destroy_snapshot(f"{top}/absent", "one")

    go(main)


def test_a_held_snapshot_is_not_destroyed_until_every_tag_is_released(bench: Bench, top: Dataset) -> None:
    async def prepare() -> None:
        await bench.zfs.create(top, {})
        await bench.zfs.snapshot([top], "one")
        for tag in ("op-1", "op-2", "op-1"):
            await bench.zfs.hold(top, "one", tag)
        assert [each.holds for each in (await state_of(bench, top)).snapshots] == [2]
        await bench.zfs.release(top, "one", "op-2")
        assert [each.holds for each in (await state_of(bench, top)).snapshots] == [1]

    async def finish() -> None:
        await bench.zfs.release(top, "one", "op-1")
        await bench.zfs.release(top, "one", "op-1")
        await bench.zfs.destroy_snapshot(top, "one")
        await bench.zfs.release(top, "one", "op-1")
        assert (await state_of(bench, top)).snapshots == ()

    go(prepare)
    assert "held" in raises(Code.DATASET_BUSY, lambda: bench.zfs.destroy_snapshot(top, "one"))
    go(finish)


def test_holds_and_clones_are_told_and_named_where_they_prevent_something(bench: Bench, top: Dataset) -> None:
    async def prepare() -> None:
        await bench.zfs.create(top, {})
        assert list(await bench.zfs.keeps(top)) == list(await bench.zfs.keeps(f"{top}-absent")) == []
        for name in ("one", "two", "three"):
            await bench.zfs.snapshot([top], name)
        await bench.zfs.hold(top, "two", "backup")
        bench.clone(top, "three", f"{top}-clone")
        held, cloned = await bench.zfs.keeps(top)
        assert (held.snapshot, held.tag or "backup", held.clone) == ("two", "backup", "")
        assert (cloned.snapshot, cloned.tag, cloned.clone) == ("three", "", f"{top}-clone")

    go(prepare)
    for change in (
        lambda: bench.zfs.rollback(top, "one"),
        lambda: bench.zfs.destroy(top),
        lambda: bench.zfs.destroy_snapshot(top, "three"),
    ):
        text = raises(Code.DATASET_BUSY, change)
        assert f"{top}-clone is a clone of {top}@three" in text
    assert f"{top}@two is held" in raises(Code.DATASET_BUSY, lambda: bench.zfs.destroy_snapshot(top, "two"))
    assert [each.name for each in go(lambda: state_of(bench, top)).snapshots] == ["one", "two", "three"]


def test_an_absent_snapshot_cannot_be_held(bench: Bench, top: Dataset) -> None:
    go(lambda: bench.zfs.create(top, {}))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.hold(top, "one", "op-1"))


def test_a_rollback_brings_back_the_content_and_drops_later_snapshots(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await volume(bench, top)
        bench.write(top, "file", b"old")
        await bench.zfs.snapshot([top], "one")
        bench.write(top, "file", b"new")
        await bench.zfs.snapshot([top], "two")
        await bench.zfs.unmount(top)
        await bench.zfs.rollback(top, "one")
        await bench.zfs.rollback(top, "one")
        await bench.zfs.mount(top, mountpoint(bench, top), readonly=True)
        assert bench.files(top) == {"file": b"old"}
        assert [each.name for each in (await state_of(bench, top)).snapshots] == ["one"]

    go(main)


def test_a_rollback_to_an_absent_snapshot_is_a_failure(bench: Bench, top: Dataset) -> None:
    go(lambda: bench.zfs.create(top, {}))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.rollback(top, "one"))


def test_what_fits_the_quota_of_the_data_fits_it_whatever_snapshots_hold(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await volume(bench, top)
        await bench.zfs.set(top, {"refquota": str(6 * MIB), "quota": "none"})
        bench.write(top, "file", random.Random(1).randbytes(4 * MIB))  # noqa: S311 - content of a test
        await bench.zfs.snapshot([top], "base")
        bench.write(top, "file", random.Random(2).randbytes(4 * MIB))  # noqa: S311 - content of a test
        bench.settle()
        state = await state_of(bench, top)
        assert (state.quota_bytes, state.total_quota_bytes) == (6 * MIB, 0)
        assert state.referenced_bytes < 5 * MIB
        assert 3 * MIB < state.snapshots_bytes < 5 * MIB
        await bench.zfs.set(top, {"quota": str(9 * MIB)})
        assert (await state_of(bench, top)).total_quota_bytes == 9 * MIB
        with pytest.raises((Failed, AssertionError), match=r"(?i)space|quota"):
            bench.write(top, "more", random.Random(3).randbytes(8 * MIB))  # noqa: S311 - content of a test

    go(main)


def test_equal_trees_have_equal_digests_mounted_or_not(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        one, two = await volume(bench, f"{top}/one"), await volume(bench, f"{top}/two")
        for each in (one, two):
            bench.write(each, "a", b"x" * MIB)
            bench.write(each, "b", b"")
            await bench.zfs.snapshot([each], "same")
        await bench.zfs.unmount(two)
        same = await bench.zfs.digest(one, "same")
        assert await bench.zfs.digest(two, "same") == same
        assert (await state_of(bench, two)).mounted_at is None
        bench.write(one, "a", b"y" + b"x" * (MIB - 1))
        await bench.zfs.snapshot([one], "changed")
        assert await bench.zfs.digest(one, "changed") != same
        bench.write(one, "a", b"x" * MIB)
        await bench.zfs.snapshot([one], "back")
        assert await bench.zfs.digest(one, "back") == same
        bench.remove(one, "b")
        await bench.zfs.snapshot([one], "fewer")
        assert await bench.zfs.digest(one, "fewer") != same
        await bench.zfs.sweep(bench.pool)
        await bench.zfs.destroy_snapshot(one, "same")  # nothing of a digest holds on to it

    go(main)


def test_a_snapshot_that_is_not_there_has_no_digest(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await volume(bench, f"{top}/one")

    go(main)
    raises(Code.ZFS_FAILED, lambda: bench.zfs.digest(f"{top}/one", "none"))
