"""What the ZFS fake has besides the port: simulations stand on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import pytest

from ployz.clock import SystemClock
from ployz.errors import Code, Failed
from ployz.host.fakes.zfs import FakeZfs
from ployz.host.ports import HangingMount, Holder

T = TypeVar("T")

SOURCE = "tank/production/data"


def go(main: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(main, backend="trio")


def machine(name: str, *, size_bytes: int = 1 << 20) -> FakeZfs:
    """One with a mounted volume that holds a file."""
    zfs = FakeZfs(SystemClock(), seed=name, size_bytes=size_bytes)

    async def main() -> None:
        await zfs.create(SOURCE, {"canmount": "noauto"})
        await zfs.mount(SOURCE, "/vol/data", readonly=False)
        zfs.write(SOURCE, "file", b"content")
        await zfs.snapshot([SOURCE], "one")

    go(main)
    return zfs


def test_a_stream_moves_from_one_machine_to_another_by_the_argv_of_both() -> None:
    a, b = machine("a"), FakeZfs(SystemClock(), seed="b")
    go(lambda: b.create("tank/production", {}))
    assert a.send_argv(SOURCE, None, "one") == ("fake-zfs-send", SOURCE, "", "one", "")
    b.stream_in(b.receive_argv(SOURCE), a.stream_out(a.send_argv(SOURCE, None, "one")))
    assert b.files(SOURCE) == {"file": b"content"}


def test_machines_never_share_a_guid_by_chance_and_the_same_machine_repeats_its_own() -> None:
    def guid(name: str) -> int:
        zfs = machine(name)
        return go(lambda: zfs.snapshot([SOURCE], "one"))[SOURCE].guid

    assert guid("a") == guid("a") != guid("b")


def test_the_dataset_behind_a_mountpoint_is_found() -> None:
    zfs = machine("a")
    assert zfs.mounted("/vol/data") == SOURCE
    assert zfs.mounted("/vol/other") is None


def test_nothing_is_written_to_what_is_not_mounted() -> None:
    zfs = machine("a")
    go(lambda: zfs.unmount(SOURCE))
    with pytest.raises(Failed, match="not mounted"):
        zfs.write(SOURCE, "file", b"x")


def test_a_full_pool_takes_no_write() -> None:
    zfs = machine("a", size_bytes=1000)
    with pytest.raises(Failed) as caught:
        zfs.write(SOURCE, "big", b"x" * 1000)
    assert caught.value.code is Code.NO_SPACE


def test_after_a_power_cut_everything_stored_is_there_and_nothing_is_mounted_or_used() -> None:
    zfs = machine("a")
    zfs.use(SOURCE, Holder(7, "postgres", None, "works in its folder"))
    zfs.power_cut()
    assert zfs.mounted("/vol/data") is None
    assert list(go(lambda: zfs.holders(SOURCE))) == []
    assert zfs.files(SOURCE) == {"file": b"content"}


def test_while_a_mount_hangs_no_other_comes_to_its_end_until_the_power_is_cut() -> None:
    zfs = machine("a")
    hanging = HangingMount(f"zfs mount {SOURCE}", 60, by_daemon=True)
    zfs.hanging.append(hanging)
    assert go(lambda: zfs.hanging_mounts("tank")) == (hanging,)
    assert go(lambda: zfs.hanging_mounts("other")) == ()
    for change in (lambda: zfs.unmount(SOURCE), lambda: zfs.mount(SOURCE, "/vol/data", readonly=True)):
        with pytest.raises(Failed) as caught:
            go(change)
        assert caught.value.code is Code.MOUNT_HANGS
    zfs.power_cut()
    go(lambda: zfs.mount(SOURCE, "/vol/data", readonly=True))
