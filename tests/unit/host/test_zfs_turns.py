"""Mounts in turn where a daemon does them, side by side where the kernel does: with a `zfs` that waits when told."""

from __future__ import annotations

import fcntl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.host import program
from ployz.host.zfs import commands, turns
from ployz.host.zfs.commands import Commands
from ployz.host.zfs.hanging import answers_argv, asked, find_hanging
from ployz.host.zfs.mounts import parse_mountinfo
from ployz.host.zfs.turns import LOCK, collide, may_mount
from tests.real import PATIENCE

T = TypeVar("T")

KERNEL = "nodev\ttmpfs\n\text4\nnodev\tzfs\n"
NO_ZFS = "nodev\ttmpfs\n\text4\nnodev\tfuse\n"
FUSE_MOUNT = "90 20 0:67 / /vol/a rw,relatime - fuse.zfs tank/a rw,user_id=0\n"
KERNEL_MOUNT = "90 20 0:67 / /vol/a rw,relatime - zfs tank/a rw\n"
SOON_S = 10.0 * PATIENCE

PROGRAM = """\
#!/bin/sh
cd "$(dirname "$0")"
echo "begin $*" >> said
for _ in $(seq 2000); do [ -e go ] && break; sleep 0.01; done
echo "end $*" >> said
"""


class Machine:
    """A /proc, and `zfs` and `stat` programs that end once they may."""

    def __init__(self, folder: Path, filesystems: str) -> None:
        self.folder = folder
        self.proc = folder / "proc"
        (self.proc / "self/root").mkdir(parents=True)
        (self.proc / "filesystems").write_text(filesystems)
        self.mounts("")
        (folder / "zfs").write_text(PROGRAM)
        (folder / "stat").write_text(PROGRAM)
        for each in ("zfs", "stat"):
            (folder / each).chmod(0o755)

    def mounts(self, mountinfo: str) -> None:
        (self.proc / "self/mountinfo").write_text(mountinfo)

    def let_go(self) -> None:
        (self.folder / "go").touch()

    @property
    def said(self) -> list[str]:
        told = self.folder / "said"
        return told.read_text().splitlines() if told.exists() else []

    async def until(self, *lines: str) -> None:
        await self.until_said(lambda said: set(lines) <= set(said))

    async def until_said(self, enough: Callable[[list[str]], bool]) -> None:
        with anyio.fail_after(SOON_S):
            while not enough(self.said):  # noqa: ASYNC110 - it is other processes that say it
                await anyio.sleep(0.01)

    def is_free(self) -> bool:
        with (self.proc / "self/root" / LOCK.relative_to("/")).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True


@pytest.fixture
def fuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield from prepared(tmp_path, monkeypatch, NO_ZFS)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield from prepared(tmp_path, monkeypatch, KERNEL)


def prepared(folder: Path, monkeypatch: pytest.MonkeyPatch, filesystems: str) -> Iterator[Machine]:
    machine = Machine(folder, filesystems)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(turns, "PROC", machine.proc)
    yield machine
    machine.let_go()
    go(nobody_is_left)


async def nobody_is_left() -> None:
    with anyio.fail_after(SOON_S):
        while program.left():  # noqa: ASYNC110 - it is other processes that end
            await anyio.sleep(0.01)


def go(main: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(main, backend="trio")


async def mount(dataset: str) -> None:
    """By a driver of its own: two in one process know nothing of each other, as two processes do."""
    await Commands(None).change(dataset, "zfs", "mount", dataset)


def raises(main: Callable[[], Awaitable[object]]) -> Failed:
    with pytest.raises(Failed) as caught:
        go(main)
    assert caught.value.code is Code.MOUNT_HANGS
    return caught.value


# ---------------------------------------------------------------- deciding


@pytest.mark.parametrize(
    "argv",
    ["mount tank/a", "mount -o ro tank/a", "create -p tank/a", "clone tank/a@x tank/b", "rename tank/a tank/b",
     "set mountpoint=/x tank/a", "set quota=1G canmount=on tank/a"],
)  # fmt: skip
def test_what_may_mount_needs_a_turn(argv: str) -> None:
    assert may_mount(["zfs", *argv.split()])


@pytest.mark.parametrize(
    "argv",
    ["unmount tank/a", "destroy -r tank/a", "snapshot tank/a@x", "set quota=1G tank/a", "rollback -r tank/a@x",
     "receive -A tank/a", "hold tag tank/a@x"],
)  # fmt: skip
def test_what_never_mounts_needs_none(argv: str) -> None:
    assert not may_mount(["zfs", *argv.split()])


@pytest.mark.parametrize(
    ("filesystems", "mountinfo", "expected"),
    [
        (NO_ZFS, "", True),
        (NO_ZFS, FUSE_MOUNT, True),
        (KERNEL, "", False),
        (KERNEL, KERNEL_MOUNT, False),
        (KERNEL, FUSE_MOUNT, True),  # a zfs-fuse beside a module that was loaded
        ("nodev\tfuse.zfs\n", "", True),
    ],
)
def test_mounts_collide_unless_the_kernel_does_them(filesystems: str, mountinfo: str, expected: bool) -> None:
    assert collide(filesystems, parse_mountinfo(mountinfo)) is expected


# ---------------------------------------------------------------- taking turns


def test_a_daemon_is_told_of_one_mount_at_a_time(fuse: Machine) -> None:
    names = [f"tank/{each}" for each in "abcd"]

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(mount, name)
            await fuse.until_said(bool)
            await anyio.sleep(0.2)  # time enough for another to begin, if it could
            assert len(fuse.said) == 1
            fuse.let_go()

    go(main)
    told = fuse.said
    assert sorted(told[::2]) == [f"begin mount {name}" for name in names]
    assert [each.replace("begin", "end") for each in told[::2]] == told[1::2]


def test_the_kernel_mounts_side_by_side(kernel: Machine) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(mount, "tank/a")
            group.start_soon(mount, "tank/b")
            await kernel.until("begin mount tank/a", "begin mount tank/b")
            kernel.let_go()

    go(main)
    assert not (kernel.proc / "self/root/run").exists()


def test_what_does_not_mount_waits_for_nobody(fuse: Machine) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(mount, "tank/a")
            await fuse.until("begin mount tank/a")
            group.start_soon(Commands(None).change, "tank/b", "zfs", "snapshot", "tank/b@x")
            await fuse.until("begin snapshot tank/b@x")
            fuse.let_go()

    go(main)


def test_a_turn_lasts_as_long_as_its_program_even_when_nobody_waits_for_it(
    fuse: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LEAVE_AFTER_S", 0.0)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(mount, "tank/a")
            await fuse.until("begin mount tank/a")
            group.cancel_scope.cancel()
        assert fuse.said == ["begin mount tank/a"]
        assert not fuse.is_free()
        fuse.let_go()
        await fuse.until("end mount tank/a")
        with anyio.fail_after(SOON_S):
            await mount("tank/b")
        assert fuse.is_free()

    go(main)


# ---------------------------------------------------------------- hanging


def test_a_mount_that_hangs_in_a_daemon_is_named_and_keeps_the_turn(
    fuse: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LEAVE_AFTER_S", 0.0)
    monkeypatch.setattr(turns, "MOUNT_S", 0.3)
    error = raises(lambda: mount("tank/a"))
    assert "the mount of tank/a hangs: it did not end within 0.3 s" in error.problem.text
    assert "its zfs-fuse" in error.problem.advice
    error = raises(lambda: mount("tank/b"))
    assert "tank/b is not mounted: the mount of tank/a before it hangs" in error.problem.text
    fuse.let_go()
    go(lambda: fuse.until("end mount tank/a"))
    assert "begin mount tank/b" not in fuse.said


def test_a_mount_that_hangs_in_the_kernel_is_named_too(kernel: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOUNT_S", 0.3)
    error = raises(lambda: mount("tank/a"))
    assert "the mount of tank/a hangs" in error.problem.text
    assert "zpool status" in error.problem.advice
    assert "zfs-fuse" not in error.problem.advice


def test_an_unmount_that_hangs_is_named(fuse: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOUNT_S", 0.3)
    error = raises(lambda: Commands(None).change("tank/a", "zfs", "unmount", "tank/a"))
    assert "the unmount of tank/a hangs" in error.problem.text
    assert "its zfs-fuse" in error.problem.advice


def test_a_file_system_that_never_answers_is_a_mount_that_hangs(fuse: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LEAVE_AFTER_S", 0.0)
    monkeypatch.setattr(commands, "ANSWER_S", 0.3)
    (fuse.folder / "zfs").write_text("#!/bin/sh\n")
    fuse.mounts(FUSE_MOUNT)
    error = raises(lambda: mount("tank/a"))
    assert "the mount of tank/a hangs: /vol/a did not answer within 0.3 s" in error.problem.text
    assert not fuse.is_free()
    fuse.let_go()
    go(lambda: fuse.until("end --file-system --format=mounted tank/a /vol/a"))


def test_what_is_mounted_already_and_never_answers_is_no_mount_that_is_done(
    fuse: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ANSWER_S", 0.3)
    fuse.mounts(FUSE_MOUNT)
    error = raises(lambda: Commands(None).require_answer("tank/a"))
    assert "the mount of tank/a hangs: /vol/a did not answer within 0.3 s" in error.problem.text
    go(nobody_is_left)  # it has no turn to keep, and is killed


def test_others_that_come_to_an_end_are_waited_for(fuse: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them within the deadline, all together longer than it."""
    monkeypatch.setattr(turns, "MOUNT_S", 1.5 * PATIENCE)
    (fuse.folder / "zfs").write_text("#!/bin/sh\nexec sleep 0.4\n")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for each in "abcdef":
                group.start_soon(mount, f"tank/{each}")

    go(main)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("zfs", "mount", "-o", "ro", "tank/a"), "zfs mount -o ro tank/a"),
        (("/sbin/zfs", "unmount", "tank/a"), "zfs unmount tank/a"),
        (("zfs", "mount", "-a"), "zfs mount -a"),
        (answers_argv("tank/a", "/vol/a"), "stat /vol/a"),
        (("zfs", "mount", "tanker/a"), None),
        (answers_argv("tanker/a", "/vol/a"), None),
        (("zfs", "snapshot", "tank/a@x"), None),
        (("stat", "/vol/a"), None),
        (("zfs",), None),
        ((), None),
    ],
)
def test_a_program_that_asks_for_a_mount_is_known_by_its_arguments(argv: Sequence[str], expected: str | None) -> None:
    assert asked(list(argv), "tank") == expected


def test_hanging_mounts_are_the_old_ones_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("1000.00 1.0\n")

    def add(pid: str, ticks: int, *argv: str, namespace: str = "mnt:[1]") -> None:
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "ns/mnt").symlink_to(namespace)
        (tmp_path / pid / "cmdline").write_text("".join(f"{each}\0" for each in argv))
        fields = ["S", *["0"] * 18, str(ticks), "0"]
        (tmp_path / pid / "stat").write_text(f"{pid} (z f) s) {' '.join(fields)}\n")

    add("1", 0, "init")
    add("10", 95_000, "zfs", "mount", "tank/a")
    add("11", 90_000, "zfs", "unmount", "tank/b")
    add("12", 99_900, "zfs", "mount", "tank/new")
    add("13", 90_000, "zfs", "mount", "tank/of-another-machine", namespace="mnt:[2]")
    add("14", 90_000)
    found = find_hanging("tank", "1", by_daemon=True, proc=tmp_path)
    assert [(each.command, each.age_s, each.by_daemon) for each in found] == [
        ("zfs unmount tank/b", 100, True),
        ("zfs mount tank/a", 50, True),
    ]
