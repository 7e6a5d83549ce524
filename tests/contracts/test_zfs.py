"""The contract of the ZFS port: the fake and the real programs pass the same tests."""

from __future__ import annotations

import itertools
import random
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import anyio
import pytest

from ployz.clock import SystemClock
from ployz.errors import Code, Failed
from ployz.host import program
from ployz.host.fakes.zfs import FakeZfs
from ployz.host.ports import Dataset, Holder, Zfs
from ployz.host.zfs.adapter import SystemZfs
from ployz.host.zfs.failures import stream_failure
from tests.pools import Pool, real_pool

T = TypeVar("T")

MIB = 1 << 20


class Bench(Protocol):
    """A Zfs with what a test needs around it: a workload's hand, and the two ends of a stream."""

    zfs: Zfs
    pool: str
    folder: str

    def write(self, dataset: Dataset, path: str, content: bytes) -> None: ...

    def overwrite(self, dataset: Dataset, path: str, offsets: Sequence[int], content: bytes) -> None:
        """The same content at each offset of a file that stays as long as it is."""
        ...

    def remove(self, dataset: Dataset, path: str) -> None: ...

    def files(self, dataset: Dataset) -> dict[str, bytes]:
        """Of a mounted dataset."""
        ...

    def settle(self) -> None:
        """Makes the space accounting know every write."""
        ...

    def occupy(self, dataset: Dataset) -> Callable[[], None]:
        """Starts something that works in the mounted dataset; the result ends it."""
        ...

    async def send(self, dataset: Dataset, base: str | None, snapshot: str) -> bytes: ...

    async def receive(self, dataset: Dataset, stream: bytes) -> None: ...


class FakeBench:
    def __init__(self) -> None:
        self._fake = FakeZfs(SystemClock(), pool="tank", size_bytes=256 * MIB)
        self.zfs: Zfs = self._fake
        self.pool = "tank"
        self.folder = "/var/lib/test"

    def write(self, dataset: Dataset, path: str, content: bytes) -> None:
        self._fake.write(dataset, path, content)

    def overwrite(self, dataset: Dataset, path: str, offsets: Sequence[int], content: bytes) -> None:
        for offset in offsets:
            self._fake.write(dataset, f"{path}-{offset}", content)

    def remove(self, dataset: Dataset, path: str) -> None:
        self._fake.remove(dataset, path)

    def files(self, dataset: Dataset) -> dict[str, bytes]:
        return dict(self._fake.files(dataset))

    def settle(self) -> None:
        pass

    def occupy(self, dataset: Dataset) -> Callable[[], None]:
        self._fake.use(dataset, Holder(77, "sleep", None, "works in its folder"))
        return lambda: self._fake.let_go(dataset)

    async def send(self, dataset: Dataset, base: str | None, snapshot: str) -> bytes:
        return self._fake.stream_out(self.zfs.send_argv(dataset, base, snapshot))

    async def receive(self, dataset: Dataset, stream: bytes) -> None:
        self._fake.stream_in(self.zfs.receive_argv(dataset), stream)


class RealBench:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.zfs: Zfs = SystemZfs(pool.namespace_pid)
        self.pool = pool.name
        self.folder = str(pool.folder / "mnt")

    def write(self, dataset: Dataset, path: str, content: bytes) -> None:
        self._pool.run("sh", "-c", 'cat > "$0"', self._at(dataset, path), stdin=content)

    def overwrite(self, dataset: Dataset, path: str, offsets: Sequence[int], content: bytes) -> None:
        for offset in offsets:
            options = (f"of={self._at(dataset, path)}", f"seek={offset}", "oflag=seek_bytes", "conv=notrunc", "bs=1M")
            self._pool.run("dd", *options, stdin=content)

    def remove(self, dataset: Dataset, path: str) -> None:
        self._pool.run("rm", self._at(dataset, path))

    def files(self, dataset: Dataset) -> dict[str, bytes]:
        folder = self._at(dataset, "")
        names = self._pool.run("ls", folder).decode().split()
        return {name: self._pool.run("cat", folder + name) for name in names}

    def settle(self) -> None:
        """A snapshot waits for the transaction group that all writes before it are in."""
        self._pool.run("zfs", "snapshot", f"{self.pool}@settle")
        self._pool.run("zfs", "destroy", f"{self.pool}@settle")

    def occupy(self, dataset: Dataset) -> Callable[[], None]:
        argv = [*self._pool.prefix, "sh", "-c", 'cd "$0" && echo ready && exec sleep 1000', self._at(dataset, "")]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        def end() -> None:
            process.kill()
            process.communicate()

        return end

    async def send(self, dataset: Dataset, base: str | None, snapshot: str) -> bytes:
        argv = self.zfs.send_argv(dataset, base, snapshot)
        return (await program.run(argv, deadline_s=60, check=Code.STREAM_FAILED)).stdout

    async def receive(self, dataset: Dataset, stream: bytes) -> None:
        done = await program.run(self.zfs.receive_argv(dataset), deadline_s=60, stdin=stream)
        if done.exit_code != 0:
            raise stream_failure(done.words)

    def _at(self, dataset: Dataset, path: str) -> str:
        mountpoint = self._pool.run("zfs", "get", "-H", "-o", "value", "mountpoint", dataset).decode().strip()
        return f"{mountpoint}/{path}"


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with real_pool() as pool:
        yield pool


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "fake":
        return FakeBench()
    return RealBench(request.getfixturevalue("pool"))


_serials = itertools.count()


@pytest.fixture
def top(bench: Bench) -> Dataset:
    """A dataset name that no other test uses; its volumes go below it."""
    return f"{bench.pool}/ployz{next(_serials)}"


def go(main: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(main, backend="trio")


async def volume(bench: Bench, dataset: Dataset) -> Dataset:
    """A new volume, mounted for writing, the way the volume actor makes one."""
    await bench.zfs.create(dataset, {"canmount": "noauto"})
    await bench.zfs.mount(dataset, mountpoint(bench, dataset), readonly=False)
    return dataset


def mountpoint(bench: Bench, dataset: Dataset) -> str:
    return f"{bench.folder}/{dataset}"


async def state_of(bench: Bench, dataset: Dataset) -> Any:
    state = await bench.zfs.state(dataset)
    assert state is not None
    return state


def raises(code: Code, main: Callable[[], Awaitable[object]]) -> str:
    """The words of the failure with this code that `main` must end in."""
    with pytest.raises(Failed) as caught:
        go(main)
    assert caught.value.code is code, caught.value
    return caught.value.problem.text


# ---------------------------------------------------------------- datasets


def test_an_absent_dataset_is_none(bench: Bench, top: Dataset) -> None:
    assert go(lambda: bench.zfs.state(top)) is None


def test_a_dataset_of_an_unknown_pool_is_a_failure_and_not_absent(bench: Bench) -> None:
    assert "no-such-pool" in raises(Code.ZFS_FAILED, lambda: bench.zfs.state("no-such-pool/x"))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.children("no-such-pool/x"))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.destroy("no-such-pool/x"))
    raises(Code.ZFS_FAILED, lambda: bench.zfs.pool_space("no-such-pool"))


def test_a_dataset_is_created_with_its_parents_and_properties(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        properties = {"canmount": "noauto", "quota": "64M", "ployz:epoch": "3", "ployz:operation": "op-1"}
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


def test_a_user_property_of_the_parent_is_not_the_childs(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {"ployz:epoch": "3"})
        await bench.zfs.create(f"{top}/child", {})
        assert (await state_of(bench, f"{top}/child")).properties == {}

    go(main)


def test_several_properties_are_set_at_once(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        await bench.zfs.create(top, {})
        await bench.zfs.set(top, {"readonly": "on", "quota": "32M", "ployz:note": "two words"})
        state = await state_of(bench, top)
        assert (state.readonly, state.quota_bytes, state.properties) == (True, 32 * MIB, {"note": "two words"})

    go(main)


def test_setting_on_an_absent_dataset_is_a_failure(bench: Bench, top: Dataset) -> None:
    assert top in raises(Code.ZFS_FAILED, lambda: bench.zfs.set(top, {"ployz:epoch": "1"}))


def test_children_of_an_absent_dataset_are_none(bench: Bench, top: Dataset) -> None:
    assert list(go(lambda: bench.zfs.children(top))) == []


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


# ---------------------------------------------------------------- snapshots


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
        await bench.zfs.release(top, "one", "op-2")

    async def finish() -> None:
        await bench.zfs.release(top, "one", "op-1")
        await bench.zfs.release(top, "one", "op-1")
        await bench.zfs.destroy_snapshot(top, "one")
        await bench.zfs.release(top, "one", "op-1")
        assert (await state_of(bench, top)).snapshots == ()

    go(prepare)
    assert "held" in raises(Code.DATASET_BUSY, lambda: bench.zfs.destroy_snapshot(top, "one"))
    go(finish)


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


# ---------------------------------------------------------------- mounts


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


# ---------------------------------------------------------------- streams


def test_a_stream_carries_content_and_guid(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        source, target = await volume(bench, f"{top}/source"), f"{top}/target"
        bench.write(source, "kept", b"kept" * 1000)
        bench.write(source, "removed", b"removed" * 1000)
        first = await bench.zfs.snapshot([source], "one")
        await bench.receive(target, await bench.send(source, None, "one"))
        assert (await state_of(bench, target)).snapshot("one").guid == first[source].guid

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
    before = go(lambda: bench.zfs.state(f"{top}/target"))
    raises(Code.DATASET_IN_THE_WAY, again)
    assert go(lambda: bench.zfs.state(f"{top}/target")) == before


def test_an_increment_of_another_dataset_is_refused(bench: Bench, top: Dataset) -> None:
    async def prepare() -> None:
        await received(bench, top)
        await bench.zfs.create(f"{top}/stranger", {})
        await bench.zfs.snapshot([f"{top}/stranger"], "one")

    async def main() -> None:
        await bench.receive(f"{top}/stranger", await bench.send(f"{top}/source", "one", "two"))

    go(prepare)
    before = go(lambda: bench.zfs.state(f"{top}/stranger"))
    raises(Code.DATASET_IN_THE_WAY, main)
    assert go(lambda: bench.zfs.state(f"{top}/stranger")) == before


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
        bench.settle()
        to_now = await bench.zfs.estimate_bytes(top, base, None)
        await bench.zfs.snapshot([top], name)
        to_snapshot = await bench.zfs.estimate_bytes(top, base, name)
        sent = len(await bench.send(top, base, name))
        for estimate in (to_now, to_snapshot):
            assert abs(estimate - sent) <= sent // 10 + 64 * 1024, (name, estimate, sent)

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
