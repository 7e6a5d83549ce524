"""The contract of the ZFS port: what a stream carries, what is refused, and how large it will be."""

from __future__ import annotations

import random

import pytest

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset
from tests.zfs_benches import MIB, Bench, go, history, mountpoint, raises, state_of, volume


def test_a_stream_carries_content_and_guid(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        source, target = await volume(bench, f"{top}/source"), f"{top}/target"
        bench.write(source, "kept", b"kept" * 1000)
        bench.write(source, "removed", b"removed" * 1000)
        first = await bench.zfs.snapshot([source], "one")
        await bench.receive(target, await bench.send(source, None, "one"))
        assert (await state_of(bench, target)).snapshots[0].guid == first[source].guid

        bench.remove(source, "removed")
        bench.write(source, "added", b"added" * 1000)
        second = await bench.zfs.snapshot([source], "two")
        await bench.receive(target, await bench.send(source, "one", "two"))
        state = await state_of(bench, target)
        assert [each.guid for each in state.snapshots] == [first[source].guid, second[source].guid]
        assert state.guid != (await state_of(bench, source)).guid

        await bench.zfs.mount(target, mountpoint(bench, target), readonly=True)
        assert bench.files(target) == {"kept": b"kept" * 1000, "added": b"added" * 1000}

    go(main)


def test_receiving_never_mounts_even_where_the_dataset_was_mounted_before(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        source, target = await volume(bench, f"{top}/source"), f"{top}/target"
        for name in ("one", "two"):
            bench.write(source, name, b"x")
            await bench.zfs.snapshot([source], name)
        await bench.receive(target, await bench.send(source, None, "one"))
        assert (await state_of(bench, target)).mounted_at is None
        await bench.zfs.mount(target, mountpoint(bench, target), readonly=True)
        await bench.zfs.unmount(target)
        await bench.receive(target, await bench.send(source, "one", "two"))
        assert (await state_of(bench, target)).mounted_at is None

    go(main)


@pytest.mark.parametrize("kept", [0, 10, 5000, -100])
def test_a_truncated_stream_leaves_nothing_behind(bench: Bench, top: Dataset, kept: int) -> None:
    async def prepare() -> bytes:
        source = await volume(bench, f"{top}/source")
        bench.write(source, "file", b"content" * 10_000)
        await bench.zfs.snapshot([source], "one")
        return await bench.send(source, None, "one")

    stream = go(prepare)
    raises(Code.STREAM_FAILED, lambda: bench.receive(f"{top}/target", stream[:kept]))
    assert go(lambda: bench.zfs.state(f"{top}/target")) is None


def test_what_is_no_stream_is_refused(bench: Bench, top: Dataset) -> None:
    go(lambda: bench.zfs.create(top, {}))
    raises(Code.STREAM_FAILED, lambda: bench.receive(f"{top}/target", b"junk" * 1000))
    assert go(lambda: bench.zfs.state(f"{top}/target")) is None


async def received(bench: Bench, top: Dataset) -> tuple[Dataset, Dataset]:
    """A source with snapshots one and two, and a target that has one."""
    source, target = await volume(bench, f"{top}/source"), f"{top}/target"
    for name in ("one", "two"):
        bench.write(source, name, b"content" * 10_000)
        await bench.zfs.snapshot([source], name)
    await bench.receive(target, await bench.send(source, None, "one"))
    return source, target


def test_a_stream_from_a_later_snapshot_to_an_earlier_one_is_refused(bench: Bench, top: Dataset) -> None:
    go(lambda: received(bench, top))
    raises(Code.STREAM_FAILED, lambda: bench.send(f"{top}/source", "two", "one"))


def test_a_stream_of_an_absent_snapshot_is_a_failure(bench: Bench, top: Dataset) -> None:
    go(lambda: bench.zfs.create(top, {}))
    with pytest.raises(Failed, match="absent"):
        go(lambda: bench.send(top, None, "absent"))


def test_a_truncated_increment_leaves_the_target_at_its_base(bench: Bench, top: Dataset) -> None:
    async def prepare() -> bytes:
        source, _ = await received(bench, top)
        return await bench.send(source, "one", "two")

    increment = go(prepare)
    raises(Code.STREAM_FAILED, lambda: bench.receive(f"{top}/target", increment[: len(increment) // 2]))
    go(lambda: bench.receive(f"{top}/target", increment))
    assert [each.name for each in go(lambda: state_of(bench, f"{top}/target")).snapshots] == ["one", "two"]


def test_a_full_stream_never_overwrites_a_dataset(bench: Bench, top: Dataset) -> None:
    async def again() -> None:
        await bench.receive(f"{top}/target", await bench.send(f"{top}/source", None, "two"))

    go(lambda: received(bench, top))
    before = go(lambda: state_of(bench, f"{top}/target"))
    raises(Code.DATASET_IN_THE_WAY, again)
    assert history(go(lambda: state_of(bench, f"{top}/target"))) == history(before)


def test_an_increment_of_another_dataset_is_refused(bench: Bench, top: Dataset) -> None:
    async def prepare() -> None:
        await received(bench, top)
        await bench.zfs.create(f"{top}/stranger", {})
        await bench.zfs.snapshot([f"{top}/stranger"], "one")

    async def main() -> None:
        await bench.receive(f"{top}/stranger", await bench.send(f"{top}/source", "one", "two"))

    go(prepare)
    before = go(lambda: state_of(bench, f"{top}/stranger"))
    raises(Code.DATASET_IN_THE_WAY, main)
    assert history(go(lambda: state_of(bench, f"{top}/stranger"))) == history(before)


def test_an_increment_into_a_modified_dataset_is_refused_until_it_is_rolled_back(bench: Bench, top: Dataset) -> None:
    async def prepare() -> bytes:
        source, target = await received(bench, top)
        await bench.zfs.mount(target, mountpoint(bench, target), readonly=False)
        bench.write(target, "touched", b"x")
        await bench.zfs.unmount(target)
        return await bench.send(source, "one", "two")

    async def finish() -> None:
        await bench.zfs.rollback(f"{top}/target", "one")
        await bench.receive(f"{top}/target", increment)

    increment = go(prepare)
    raises(Code.DATASET_IN_THE_WAY, lambda: bench.receive(f"{top}/target", increment))
    go(finish)
    assert [each.name for each in go(lambda: state_of(bench, f"{top}/target")).snapshots] == ["one", "two"]


def test_a_stream_that_exceeds_a_quota_is_out_of_space_and_leaves_nothing(bench: Bench, top: Dataset) -> None:
    async def prepare() -> bytes:
        source = await volume(bench, f"{top}/source")
        bench.write(source, "file", noise(8 * MIB))
        await bench.zfs.snapshot([source], "one")
        await bench.zfs.create(f"{top}/small", {"quota": "2M"})
        return await bench.send(source, None, "one")

    stream = go(prepare)
    raises(Code.NO_SPACE, lambda: bench.receive(f"{top}/small/target", stream))
    assert go(lambda: bench.zfs.state(f"{top}/small/target")) is None


# ---------------------------------------------------------------- estimates


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Content that no compression shrinks, the same at every call."""
    return random.Random(seed).randbytes(size_bytes)  # noqa: S311 - content of a test


def test_estimates_are_close_to_what_is_sent(bench: Bench, top: Dataset) -> None:
    content = bytearray(noise(16 * MIB))

    async def estimated(base: str | None, name: str) -> None:
        to_now = await bench.zfs.estimate_bytes(top, base, None)  # at once: accounting lags behind what was written
        await bench.zfs.snapshot([top], name)
        to_snapshot = await bench.zfs.estimate_bytes(top, base, name)
        sent = len(await bench.send(top, base, name))
        for estimate in (to_now, to_snapshot):
            # A stream of removals is all headers, of which OpenZFS estimates a sixth.
            assert abs(estimate - sent) <= sent // 10 + 128 * 1024, (name, estimate, sent)

    async def main() -> None:
        await volume(bench, top)
        bench.write(top, "base", bytes(content))
        await estimated(None, "full")
        bench.write(top, "appended", noise(3 * MIB, 1))
        await estimated("full", "appended")
        bench.overwrite(top, "base", range(MIB, 15 * MIB, 3 * MIB), noise(128 * 1024, 2))
        await estimated("appended", "rewritten")
        await bench.zfs.destroy_snapshot(top, "full")
        await bench.zfs.destroy_snapshot(top, "appended")
        bench.remove(top, "base")
        await estimated("rewritten", "removed")

    go(main)


def test_an_estimate_from_an_absent_snapshot_is_a_failure(bench: Bench, top: Dataset) -> None:
    go(lambda: bench.zfs.create(top, {}))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.estimate_bytes(top, "absent", None))
