"""The contract of the ZFS port: datasets, their properties and their mounts."""

from __future__ import annotations

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset
from tests.zfs_benches import MIB, Bench, go, mountpoint, raises, state_of, volume


def test_an_absent_dataset_is_none(bench: Bench, top: Dataset) -> None:
    assert go(lambda: bench.zfs.state(top)) is None


def test_a_dataset_of_an_unknown_pool_is_a_failure_and_not_absent(bench: Bench) -> None:
    assert "no-such-pool" in raises(Code.ZFS_FAILED, lambda: bench.zfs.state("no-such-pool/x"))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.children("no-such-pool/x"))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.destroy("no-such-pool/x"))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.pool_space("no-such-pool"))


def test_a_dataset_is_created_with_its_parents_and_properties(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        properties = {"canmount": "noauto", "refquota": "64M", "ployz:epoch": "3", "ployz:operation": "op-1"}
        await bench.zfs.create(f"{top}/production/data", properties)
        state = await state_of(bench, f"{top}/production/data")
        assert state.name == f"{top}/production/data"
        assert state.guid > 0
        assert state.quota_bytes == 64 * MIB
        assert state.available_bytes <= 64 * MIB
        assert state.properties == {"epoch": "3", "operation": "op-1"}
        assert (state.mounted_at, state.readonly, state.snapshots) == (None, False, ())
        assert await bench.zfs.children(top) == (f"{top}/production", f"{top}/production/data")

    go(main)


def test_creating_again_leaves_the_dataset_as_it_is(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {"ployz:epoch": "3"})
        before = await bench.zfs.state(top)
        await bench.zfs.create(top, {"ployz:epoch": "4"})
        assert await bench.zfs.state(top) == before

    go(main)


def test_datasets_with_a_new_parent_are_created_side_by_side(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        for serial in range(5):
            datasets = [f"{top}/parent{serial}/{name}" for name in ("one", "two", "three")]
            async with anyio.create_task_group() as tasks:
                for dataset in datasets:
                    tasks.start_soon(bench.zfs.create, dataset, {"canmount": "off"})
            assert sorted(datasets) == list(await bench.zfs.children(f"{top}/parent{serial}"))

    go(main)


def test_a_user_property_of_the_parent_is_not_the_childs(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {"ployz:epoch": "3"})
        await bench.zfs.create(f"{top}/child", {})
        assert (await state_of(bench, f"{top}/child")).properties == {}

    go(main)


def test_several_properties_are_set_at_once(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {})
        await bench.zfs.set(top, {"readonly": "on", "refquota": "32M", "ployz:note": "two words"})
        state = await state_of(bench, top)
        assert (state.readonly, state.quota_bytes, state.properties) == (True, 32 * MIB, {"note": "two words"})

    go(main)


def test_what_was_set_on_a_dataset_itself_is_told_and_can_be_inherited_again(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {"atime": "off", "org.example:note": "two words"})
        child = f"{top}/child"
        await bench.zfs.create(child, {})
        await bench.zfs.set(child, {"recordsize": "16384", "compression": "on", "ployz:epoch": "1", "com.x:y": "z"})
        assert (await state_of(bench, child)).local == {"recordsize": "16384", "compression": "on", "com.x:y": "z"}
        assert (await state_of(bench, top)).local == {"atime": "off", "org.example:note": "two words"}
        for _ in range(2):
            await bench.zfs.inherit(child, ("recordsize", "com.x:y"))
        assert (await state_of(bench, child)).local == {"compression": "on"}

    go(main)


def test_setting_on_an_absent_dataset_is_a_failure(bench: Bench, top: Dataset) -> None:
    assert top in raises(Code.ZFS_FAILED, lambda: bench.zfs.set(top, {"ployz:epoch": "1"}))


def test_children_of_an_absent_dataset_are_none(bench: Bench, top: Dataset) -> None:
    assert list(go(lambda: bench.zfs.children(top))) == []


def test_the_sizes_of_all_below_come_in_one_look_without_snapshots(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        assert list(await bench.zfs.sizes(top)) == []
        await bench.zfs.create(f"{top}/one", {"refquota": str(64 << 20)})
        await bench.zfs.create(f"{top}/two", {})
        await bench.zfs.snapshot([f"{top}/one"], "one")
        sizes = {each.name: each for each in await bench.zfs.sizes(top)}
        assert sizes.keys() == {f"{top}/one", f"{top}/two"}
        for name, found in sizes.items():
            state = await bench.zfs.state(name)
            assert state is not None
            assert (found.referenced_bytes, found.quota_bytes) == (state.referenced_bytes, state.quota_bytes)
            assert (found.total_quota_bytes, found.snapshots_bytes) == (state.total_quota_bytes, state.snapshots_bytes)
        assert sizes[f"{top}/one"].quota_bytes == 64 << 20

    go(main)


def test_destroying_takes_the_snapshots_along_and_absent_is_done(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {})
        await bench.zfs.snapshot([top], "one")
        await bench.zfs.destroy(top)
        assert await bench.zfs.state(top) is None
        await bench.zfs.destroy(top)

    go(main)


def test_a_dataset_with_children_is_not_destroyed(bench: Bench, top: Dataset) -> None:
    go(lambda: bench.zfs.create(f"{top}/child", {}))
    assert "children" in raises(Code.ZFS_FAILED, lambda: bench.zfs.destroy(top))
    assert go(lambda: bench.zfs.state(f"{top}/child")) is not None


def test_a_pool_has_space_and_health(bench: Bench) -> None:
    space = go(lambda: bench.zfs.pool_space(bench.pool))
    assert 0 < space.free_bytes < space.size_bytes or space.free_bytes == space.size_bytes
    assert (space.healthy, space.health) == (True, "ONLINE")


def test_a_dataset_is_mounted_where_and_as_it_was_asked_for(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await volume(bench, top)
        bench.write(top, "file", b"x")
        assert (await state_of(bench, top)).mounted_at == mountpoint(bench, top)
        await bench.zfs.mount(top, mountpoint(bench, top), readonly=False)
        await bench.zfs.mount(top, mountpoint(bench, top), readonly=True)
        state = await state_of(bench, top)
        assert (state.mounted_at, state.readonly) == (mountpoint(bench, top), True)
        with pytest.raises((Failed, AssertionError), match=r"(?i)read-only file system"):
            bench.write(top, "file", b"y")
        await bench.zfs.mount(top, mountpoint(bench, top) + "-2", readonly=False)
        assert (await state_of(bench, top)).mounted_at == mountpoint(bench, top) + "-2"
        bench.write(top, "file", b"z")
        assert bench.files(top) == {"file": b"z"}

    go(main)


def test_a_mounted_dataset_that_is_set_read_only_takes_no_write_until_it_is_mounted_for_writing(
    bench: Bench, top: Dataset
) -> None:
    async def main() -> None:
        await volume(bench, top)
        await bench.zfs.set(top, {"readonly": "on"})
        with pytest.raises((Failed, AssertionError), match=r"(?i)read-only file system"):
            bench.write(top, "file", b"x")
        await bench.zfs.mount(top, mountpoint(bench, top), readonly=False)
        bench.write(top, "file", b"x")

    go(main)


def test_mounting_what_is_mounted_as_asked_disturbs_nobody(bench: Bench, top: Dataset) -> None:
    go(lambda: volume(bench, top))
    end = bench.occupy(top)
    try:
        go(lambda: bench.zfs.mount(top, mountpoint(bench, top), readonly=False))
    finally:
        end()


def test_an_absent_dataset_cannot_be_mounted_but_is_unmounted(bench: Bench, top: Dataset) -> None:
    raises(Code.ZFS_FAILED, lambda: bench.zfs.mount(top, mountpoint(bench, top), readonly=False))
    go(lambda: bench.zfs.unmount(top))


def test_unmounting_twice_is_done(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await volume(bench, top)
        await bench.zfs.unmount(top)
        await bench.zfs.unmount(top)
        assert (await state_of(bench, top)).mounted_at is None

    go(main)


def test_a_busy_dataset_stays_mounted_and_the_process_is_named(bench: Bench, top: Dataset) -> None:
    go(lambda: volume(bench, top))
    assert list(go(lambda: bench.zfs.holders(top))) == []
    end = bench.occupy(top)
    try:
        (holder,) = go(lambda: bench.zfs.holders(top))
        assert (holder.command, holder.container_id) == ("sleep", None)
        text = raises(Code.DATASET_BUSY, lambda: bench.zfs.unmount(top))
        assert f"PID {holder.pid} (sleep)" in text
        assert go(lambda: state_of(bench, top)).mounted_at == mountpoint(bench, top)
    finally:
        end()
    go(lambda: bench.zfs.unmount(top))
    assert list(go(lambda: bench.zfs.holders(top))) == []
    assert go(lambda: state_of(bench, top)).mounted_at is None


def test_a_dataset_is_renamed_with_its_snapshots_and_renaming_again_is_done(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        data = await volume(bench, f"{top}/data")
        bench.write(data, "file", b"content")
        await bench.zfs.snapshot([data], "one")
        before = await state_of(bench, data)
        await bench.zfs.create(f"{top}/aside", {"canmount": "off"})
        await bench.zfs.unmount(data)
        for _ in range(2):
            await bench.zfs.rename(data, f"{top}/aside/data")
        assert await bench.zfs.state(data) is None
        after = await state_of(bench, f"{top}/aside/data")
        assert (after.guid, after.mounted_at) == (before.guid, None)
        assert [each.guid for each in after.snapshots] == [each.guid for each in before.snapshots]

    go(main)


def test_a_dataset_is_not_renamed_onto_another_or_from_nowhere(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(f"{top}/one", {"canmount": "off"})
        await bench.zfs.create(f"{top}/two", {"canmount": "off"})

    go(main)
    raises(Code.ZFS_FAILED, lambda: bench.zfs.rename(f"{top}/one", f"{top}/two"))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.rename(f"{top}/none", f"{top}/three"))


def test_nothing_hangs_in_a_pool_that_is_well(bench: Bench, top: Dataset) -> None:
    go(lambda: volume(bench, f"{top}/a"))
    assert list(go(lambda: bench.zfs.hanging_mounts(bench.pool))) == []
