"""The contract of the ZFS port: a receive that was broken off, and is gone on with where the pool can do that."""

from __future__ import annotations

import random

from ployz.errors import Code
from ployz.host.ports import Dataset, DatasetState
from tests.zfs_benches import MIB, Bench, go, history, mountpoint, raises, state_of, volume


async def source_of(bench: Bench, top: Dataset) -> Dataset:
    """With 8 MiB in snapshot `one`, and as much again in `two`."""
    source, dice = await volume(bench, f"{top}/source"), random.Random(7)  # noqa: S311 - that zfs cannot compress
    for name in ("one", "two"):
        bench.write(source, name, dice.randbytes(8 * MIB))
        await bench.zfs.snapshot([source], name)
    return source


async def broken_off(bench: Bench, target: Dataset, stream: bytes) -> DatasetState | None:
    """What is there after half of the stream came."""
    await bench.receive_half(target, stream)
    return await bench.zfs.state(target)


def test_a_pool_that_cannot_keep_a_beginning_keeps_none_and_one_that_can_tells_how_to_go_on(
    bench: Bench, top: Dataset
) -> None:
    async def main() -> None:
        source, target = await source_of(bench, top), f"{top}/target"
        left = await broken_off(bench, target, await bench.send(source, None, "one"))
        if (await bench.zfs.features()).resume:
            assert left is not None
            assert (left.snapshots, left.mounted_at) == ((), None)
            assert left.resume_token
        else:
            assert left is None
            assert "-s" not in bench.zfs.receive_argv(target)

    go(main)


def test_a_first_stream_and_an_increment_go_on_where_they_were(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        source, target = await source_of(bench, top), f"{top}/target"
        for base, name in ((None, "one"), ("one", "two")):
            whole = await bench.send(source, base, name)
            left = await broken_off(bench, target, whole)
            if not (await bench.zfs.features()).resume:
                assert (left.resume_token if left else None) is None
                await bench.receive(target, whole)
                continue
            assert left is not None
            assert left.resume_token is not None
            rest = await bench.run(await bench.zfs.resume_argv(source, name, left.resume_token))
            assert len(rest) < 0.75 * len(whole)
            await bench.receive(target, rest)
            assert (await state_of(bench, target)).resume_token is None
        there, here = await state_of(bench, target), await state_of(bench, source)
        assert [each.guid for each in there.snapshots] == [each.guid for each in here.snapshots]
        await bench.zfs.mount(target, mountpoint(bench, target), readonly=True)
        assert bench.files(target) == bench.files(source)

    go(main)


def test_a_beginning_that_is_dropped_leaves_what_was_there_before_it(bench: Bench, top: Dataset) -> None:
    async def main() -> None:
        source, target = await source_of(bench, top), f"{top}/target"
        await bench.zfs.abort_receive(target)
        first = await bench.send(source, None, "one")
        await broken_off(bench, target, first)
        await bench.zfs.abort_receive(target)
        assert await bench.zfs.state(target) is None
        await bench.receive(target, first)
        before = history(await state_of(bench, target))
        second = await bench.send(source, "one", "two")
        await broken_off(bench, target, second)
        await bench.zfs.abort_receive(target)
        await bench.zfs.abort_receive(target)
        left = await state_of(bench, target)
        assert (history(left), left.resume_token) == (before, None)
        await bench.receive(target, second)

    go(main)


def test_a_token_of_something_else_is_refused(bench: Bench, top: Dataset) -> None:
    async def token() -> str | None:
        source, target = await source_of(bench, top), f"{top}/target"
        left = await broken_off(bench, target, await bench.send(source, None, "one"))
        return left.resume_token if left else None

    found = go(token)
    for text in filter(None, (found, "1-abc-def-123", "--help", "")):
        raises(Code.STREAM_FAILED, lambda text=text: bench.zfs.resume_argv(f"{top}/source", "two", text))  # type: ignore[misc]
