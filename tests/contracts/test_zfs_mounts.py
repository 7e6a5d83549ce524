"""Many mounts at once on the real programs, from many tasks and from a second process: none hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import anyio
import pytest

from ployz.errors import Code
from ployz.host import program
from ployz.host.ports import Dataset
from ployz.host.zfs import commands, hanging, turns
from ployz.host.zfs.adapter import SystemZfs
from ployz.host.zfs.commands import Commands
from tests.pools import Pool
from tests.real import PATIENCE
from tests.zfs_benches import go, raises

pytestmark = pytest.mark.real

ROUNDS = 8
HERE, THERE = 6, 3
"""Volumes that are mounted again and again by this process, and by the other one."""
TOO_LONG_S = 30.0 * PATIENCE

OTHER = """
import sys
from pathlib import Path
from tests.contracts.test_zfs_mounts import again_and_again
from tests.pools import Pool
name, folder, namespace_pid, rounds, *datasets = sys.argv[1:]
pool = Pool(name, Path(folder), None if namespace_pid == "None" else int(namespace_pid))
again_and_again(pool, datasets, int(rounds))
"""


def again_and_again(pool: Pool, datasets: Sequence[Dataset], rounds: int) -> None:
    """In each round all are mounted side by side, and unmounted."""
    zfs = SystemZfs(pool.namespace_pid)
    mountpoints = {each: f"{pool.folder}/mnt/{each}" for each in datasets}

    async def mount(dataset: Dataset) -> None:
        await zfs.mount(dataset, mountpoints[dataset], readonly=False)
        os.write(1, b"mounted\n")

    async def main() -> None:
        with anyio.fail_after(TOO_LONG_S):
            async with anyio.create_task_group() as group:
                for dataset in datasets:
                    group.start_soon(mount, dataset)

    for _ in range(rounds):
        go(main)
        pool.run("timeout", f"{TOO_LONG_S}", "umount", *mountpoints.values())


def other_process(pool: Pool, datasets: Sequence[Dataset], rounds: int) -> subprocess.Popen[bytes]:
    argv = [pool.name, str(pool.folder), str(pool.namespace_pid), str(rounds), *datasets]
    return subprocess.Popen([sys.executable, "-c", OTHER, *argv], stdout=subprocess.PIPE)


def made(pool: Pool, count: int, prefix: str) -> list[Dataset]:
    names = [f"{pool.name}/{prefix}{number}" for number in range(count)]
    zfs = SystemZfs(pool.namespace_pid)
    for name in names:
        go(lambda name=name: zfs.create(name, {"canmount": "noauto"}))  # type: ignore[misc] # no type for the default
    return names


def daemon_of(pool: Pool) -> int:
    if pool.namespace_pid is None:
        pytest.skip("ZFS in the kernel has no daemon, and its mounts take no turns")
    return pool.namespace_pid


def test_mounts_at_once_from_two_processes_all_come_to_their_end(zfs_pool: Pool) -> None:
    here, there = made(zfs_pool, HERE, "here"), made(zfs_pool, THERE, "there")
    with other_process(zfs_pool, there, ROUNDS) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"mounted\n"  # from now on both are at it
            again_and_again(zfs_pool, here, ROUNDS)
            assert other.stdout.read().count(b"mounted") == THERE * ROUNDS - 1
            assert other.wait(timeout=TOO_LONG_S) == 0
        finally:
            other.kill()


def test_a_process_that_is_killed_in_the_middle_of_a_mount_keeps_nobody_from_mounting(zfs_pool: Pool) -> None:
    there = made(zfs_pool, THERE, "killed")
    (own,) = made(zfs_pool, 1, "own")
    for _ in range(2):
        with other_process(zfs_pool, there, 1000) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"mounted\n"
            other.kill()
        again_and_again(zfs_pool, [own], 1)
    zfs = SystemZfs(zfs_pool.namespace_pid)
    assert go(lambda: zfs.hanging_mounts(zfs_pool.name)) == []


def test_a_mount_by_hand_that_holds_the_lock_is_waited_for(zfs_pool: Pool) -> None:
    zfs = SystemZfs(daemon_of(zfs_pool))
    (own,) = made(zfs_pool, 1, "waits")
    script = ["flock", "--no-fork", str(turns.LOCK), "sh", "-c", "echo ready; read -r line"]

    async def main(by_hand: subprocess.Popen[bytes]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: zfs.mount(own, f"{zfs_pool.folder}/mnt/{own}", readonly=False))
            await anyio.sleep(0.3)  # time enough for a mount that does not wait
            state = await zfs.state(own)
            assert state is not None
            assert state.mounted_at is None
            by_hand.kill()
        await zfs.unmount(own)

    argv = [*zfs_pool.prefix, *script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as by_hand:
        assert by_hand.stdout is not None
        assert by_hand.stdout.readline() == b"ready\n"
        go(lambda: main(by_hand))


def test_a_mount_in_a_daemon_that_is_stopped_is_named_and_ends_with_what_kept_it(
    zfs_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOUNT_S", 1.0)
    monkeypatch.setattr(commands, "LEAVE_AFTER_S", 0.0)
    monkeypatch.setattr(hanging, "HANGS_S", 0.5)
    daemon = daemon_of(zfs_pool)
    zfs = SystemZfs(daemon)
    (own,) = made(zfs_pool, 1, "stopped")
    mountpoint = f"{zfs_pool.folder}/mnt/{own}"
    go(lambda: zfs.set(own, {"mountpoint": mountpoint}))
    os.kill(daemon, signal.SIGSTOP)
    try:
        said = raises(Code.MOUNT_HANGS, lambda: Commands(daemon).change(own, "zfs", "mount", own))
        assert f"the mount of {own} hangs" in said
        assert [each.command for each in go(lambda: zfs.hanging_mounts(zfs_pool.name))] == [f"zfs mount {own}"]
        said = raises(Code.MOUNT_HANGS, lambda: Commands(daemon).change("x/y", "zfs", "mount", "x/y"))
        assert f"the mount of {own} before it hangs" in said
    finally:
        os.kill(daemon, signal.SIGCONT)

    async def all_ended() -> None:
        with anyio.fail_after(TOO_LONG_S):
            while program.left():  # noqa: ASYNC110 - it is another process that ends
                await anyio.sleep(0.01)
        await zfs.mount(own, mountpoint, readonly=False)
        await zfs.unmount(own)

    go(all_ended)
    assert go(lambda: zfs.hanging_mounts(zfs_pool.name)) == []
