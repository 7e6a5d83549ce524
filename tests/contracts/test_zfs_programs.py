"""What only the real ZFS programs can show: pipes, mount namespaces, processes, and a daemon that is away."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset
from ployz.host.zfs.adapter import SystemZfs
from tests.pools import Pool
from tests.real import need

pytestmark = pytest.mark.real

T = TypeVar("T")

KERNEL_ZFS = Path("/dev/zfs")


@pytest.fixture
def zfs(zfs_pool: Pool) -> SystemZfs:
    return SystemZfs(zfs_pool.namespace_pid)


_serials = itertools.count()


@pytest.fixture
def volume(zfs_pool: Pool, zfs: SystemZfs) -> Dataset:
    """A mounted volume of this test alone."""
    dataset = f"{zfs_pool.name}/volume{next(_serials)}"
    go(lambda: zfs.create(dataset, {"canmount": "noauto"}))
    go(lambda: zfs.mount(dataset, mountpoint(zfs_pool, dataset), readonly=False))
    return dataset


def mountpoint(pool: Pool, dataset: Dataset) -> str:
    return f"{pool.folder}/mnt/{dataset}"


def go(main: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(main, backend="trio")


@contextmanager
def running(pool: Pool, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process beside the pool, from its first line of output to the end of the block."""
    with subprocess.Popen([*pool.prefix, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def test_the_features_are_those_of_the_installed_programs(zfs: SystemZfs) -> None:
    features = go(zfs.features)
    expected = KERNEL_ZFS.exists()
    assert (features.estimate, features.resume, features.multi_snapshot, features.multi_set) == (expected,) * 4
    assert features.receive_unmounted


def test_the_stream_programs_work_in_a_pipe(zfs_pool: Pool, zfs: SystemZfs, volume: Dataset) -> None:
    zfs_pool.run("sh", "-c", 'cat > "$0"', f"{mountpoint(zfs_pool, volume)}/file", stdin=b"content" * 100_000)
    taken = go(lambda: zfs.snapshot([volume], "one"))
    with (
        subprocess.Popen(zfs.send_argv(volume, None, "one"), stdout=subprocess.PIPE) as send,
        subprocess.Popen(zfs.receive_argv(f"{volume}-copy"), stdin=send.stdout) as receive,
    ):
        assert send.stdout is not None
        send.stdout.close()
        assert (receive.wait(), send.wait()) == (0, 0)
    copy = go(lambda: zfs.state(f"{volume}-copy"))
    assert copy is not None
    assert copy.snapshots[0].guid == taken[volume].guid


def test_receiving_does_not_mount_even_below_a_parent_that_has_a_mountpoint(
    zfs_pool: Pool, zfs: SystemZfs, volume: Dataset
) -> None:
    go(lambda: zfs.snapshot([volume], "one"))
    go(lambda: zfs.create(f"{volume}-parent", {"mountpoint": f"{mountpoint(zfs_pool, volume)}-parent"}))
    stream = subprocess.run(zfs.send_argv(volume, None, "one"), capture_output=True, check=True).stdout
    subprocess.run(zfs.receive_argv(f"{volume}-parent/copy"), input=stream, check=True)
    copy = go(lambda: zfs.state(f"{volume}-parent/copy"))
    assert copy is not None
    assert copy.mounted_at is None


def test_a_mount_that_lives_on_in_another_namespace_keeps_the_dataset_busy(
    zfs_pool: Pool, zfs: SystemZfs, volume: Dataset
) -> None:
    script = "echo ready && exec sleep 1000"
    with running(zfs_pool, "unshare", "--mount", "--propagation", "private", "sh", "-c", script) as process:
        with pytest.raises(Failed) as caught:
            go(lambda: zfs.unmount(volume))
        assert caught.value.code is Code.DATASET_BUSY
        where = mountpoint(zfs_pool, volume)
        sentence = f"PID {process.pid} (sleep) has it mounted at {where} in a mount namespace of its own"
        assert sentence in caught.value.problem.text
        state = go(lambda: zfs.state(volume))
        assert state is not None
        assert state.mounted_at is None
        (holder,) = go(lambda: zfs.holders(volume))
        assert holder.pid == process.pid
    go(lambda: zfs.unmount(volume))
    assert go(lambda: zfs.holders(volume)) == []


def test_a_second_mount_in_our_own_namespace_is_named(zfs_pool: Pool, zfs: SystemZfs, volume: Dataset) -> None:
    elsewhere = f"{zfs_pool.folder}/elsewhere"
    zfs_pool.run("mkdir", "-p", elsewhere)
    zfs_pool.run("mount", "--bind", mountpoint(zfs_pool, volume), elsewhere)
    with pytest.raises(Failed, match="is in use") as caught:
        go(lambda: zfs.unmount(volume))
    assert f"it is mounted at {elsewhere}" in caught.value.problem.text
    zfs_pool.run("umount", elsewhere)
    go(lambda: zfs.unmount(volume))


def test_a_process_that_lets_go_in_time_does_not_fail_the_unmount(
    zfs_pool: Pool, zfs: SystemZfs, volume: Dataset
) -> None:
    script = "echo ready && read -r line"
    with running(zfs_pool, "unshare", "--mount", "--propagation", "private", "sh", "-c", script) as process:

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(zfs.unmount, volume)
                while (await zfs.state(volume)).mounted_at is not None:  # type: ignore[union-attr] # it is there
                    await anyio.lowlevel.checkpoint()
                process.kill()

        go(main)


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("exec 3> file; cd /; echo ready; exec sleep 1000", "has the file {mountpoint}/file open"),
        ("cp $(command -v sleep) program; echo ready; cd /; exec $OLDPWD/program 1000", "runs a program from"),
        ("echo ready; exec sleep 1000", "works in its folder {mountpoint}"),
    ],
)
def test_a_process_that_uses_the_dataset_is_named_with_how(
    zfs_pool: Pool, zfs: SystemZfs, volume: Dataset, script: str, how: str
) -> None:
    with running(zfs_pool, "sh", "-c", f"cd '{mountpoint(zfs_pool, volume)}'; {script}") as process:
        (holder,) = go(lambda: zfs.holders(volume))
        assert holder.pid == process.pid
        assert holder.how.startswith(how.format(mountpoint=mountpoint(zfs_pool, volume)))


def test_without_its_daemon_zfs_is_a_failure_and_no_dataset_is_absent(tmp_path: Path) -> None:
    need("zfs", "unshare", "nsenter")
    if KERNEL_ZFS.exists():
        pytest.skip("ZFS in the kernel has no daemon that could be away")
    nowhere = Pool("nowhere", tmp_path, None)
    script = "mount -t tmpfs tmpfs /run && echo ready && exec sleep 1000"
    with running(nowhere, "unshare", "--mount", "--propagation", "private", "sh", "-c", script) as process:
        for look in (SystemZfs(process.pid).state, SystemZfs(process.pid).children):
            with pytest.raises(Failed) as caught:
                go(lambda look=look: look("tank/x"))  # type: ignore[misc] # mypy infers no type for the default
            assert caught.value.code is Code.ZFS_FAILED
