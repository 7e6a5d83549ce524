"""Many mounts at once on the real programs, from many tasks and from a second process: none hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import anyio
import pytest

from ployz.host.ports import Dataset
from ployz.host.zfs import turns
from ployz.host.zfs.adapter import SystemZfs
from tests.pools import Pool
from tests.real import PATIENCE
from tests.zfs_benches import go

pytestmark = pytest.mark.real

ROUNDS = 6
HERE, THERE = 4, 2
"""Volumes that are mounted again and again by this process, and by the other one."""
TOO_LONG_S = 60.0 * PATIENCE

OTHER = """
import sys
from tests.contracts.test_zfs_mounts import again_and_again
namespace_pid, folder, rounds, *datasets = sys.argv[1:]
again_and_again(None if namespace_pid == "None" else int(namespace_pid), folder, datasets, int(rounds))
"""


def again_and_again(namespace_pid: int | None, folder: str, datasets: Sequence[Dataset], rounds: int) -> None:
    """Mounts and unmounts each, all of them side by side."""
    zfs = SystemZfs(namespace_pid)

    async def one(dataset: Dataset) -> None:
        for _ in range(rounds):
            await zfs.mount(dataset, f"{folder}/{dataset}", readonly=False)
            os.write(1, b"mounted\n")
            await zfs.unmount(dataset)

    async def main() -> None:
        with anyio.fail_after(TOO_LONG_S):
            async with anyio.create_task_group() as group:
                for dataset in datasets:
                    group.start_soon(one, dataset)

    go(main)


def other_process(pool: Pool, datasets: Sequence[Dataset], rounds: int) -> subprocess.Popen[bytes]:
    argv = [str(pool.namespace_pid), f"{pool.folder}/mnt", str(rounds), *datasets]
    return subprocess.Popen([sys.executable, "-c", OTHER, *argv], stdout=subprocess.PIPE)


def made(pool: Pool, count: int, prefix: str) -> list[Dataset]:
    names = [f"{pool.name}/{prefix}{number}" for number in range(count)]
    zfs = SystemZfs(pool.namespace_pid)
    for name in names:
        go(lambda name=name: zfs.create(name, {"canmount": "noauto"}))  # type: ignore[misc] # no type for the default
    return names


def test_mounts_at_once_from_two_processes_all_come_to_their_end(zfs_pool: Pool) -> None:
    here, there = made(zfs_pool, HERE, "here"), made(zfs_pool, THERE, "there")
    with other_process(zfs_pool, there, 2 * ROUNDS) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"mounted\n"  # from now on both are at it
            again_and_again(zfs_pool.namespace_pid, f"{zfs_pool.folder}/mnt", here, ROUNDS)
            assert other.stdout.read().count(b"mounted") == THERE * 2 * ROUNDS - 1
            assert other.wait(timeout=TOO_LONG_S) == 0
        finally:
            other.kill()


def test_a_process_that_is_killed_in_the_middle_of_a_mount_keeps_nobody_from_mounting(zfs_pool: Pool) -> None:
    there = made(zfs_pool, THERE, "killed")
    (own,) = made(zfs_pool, 1, "own")
    for _ in range(3):
        with other_process(zfs_pool, there, 1000) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"mounted\n"
            other.kill()
        again_and_again(zfs_pool.namespace_pid, f"{zfs_pool.folder}/mnt", [own], 1)
    zfs = SystemZfs(zfs_pool.namespace_pid)
    assert go(lambda: zfs.hanging_mounts(zfs_pool.name)) == []


def test_a_mount_by_hand_that_holds_the_lock_is_waited_for(zfs_pool: Pool) -> None:
    zfs = SystemZfs(zfs_pool.namespace_pid)
    if not turns.Turns("self" if zfs_pool.namespace_pid is None else str(zfs_pool.namespace_pid)).are_needed():
        pytest.skip("the kernel's mounts take no turns")
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
