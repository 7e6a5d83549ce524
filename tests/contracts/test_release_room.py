"""A root of another release is entered, as far as its mounts and processes go; and nothing of it is left."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.lab.release import room as rooms
from ployz.lab.release.room import Room, room
from tests.real import PATIENCE, need

pytestmark = pytest.mark.real

TEST_S = 30.0 * PATIENCE
PATH = {"PATH": "/bin"}
APPLETS = ("sh", "env", "cat", "ls", "mkdir", "mount", "umount", "rmdir", "sleep", "touch", "nsenter", "grep")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A minimal system: one program."""
    need("busybox", "setpriv", "unshare", "nsenter", "pivot_root")
    root = tmp_path / "root"
    for folder in ("bin", "dev", "proc", "sys", "run", "tmp"):
        (root / folder).mkdir(parents=True)
    shutil.copy(str(shutil.which("busybox")), root / "bin/busybox")
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    yield root
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def run(inside: Room, line: str, deadline_s: float = TEST_S) -> int:
    return inside.run(["sh", "-ec", line], at=Path("/tmp"), environment=PATH, deadline_s=deadline_s)


def test_it_is_the_root_of_its_mounts_so_that_a_lab_finds_it_there(root: Path, tmp_path: Path) -> None:
    shown = tmp_path / "wheels"
    shown.mkdir()
    (shown / "one").touch()
    with room(root, [shown]) as inside:
        assert run(inside, "exit 7") == 7
        assert run(inside, "touch here; test $(ls / | grep -c busybox) = 0") == 0
        # What goes to the mount namespace of a process goes to this root: a chroot's would be the host's.
        assert run(inside, "nsenter -t 1 -m -- /bin/ls /bin/busybox /tmp/here") == 0
        assert run(inside, "test -c /dev/null && test -d /sys/fs/cgroup && test -r /proc/self/stat") == 0
        assert run(inside, f"test -e {shown}/one && ! touch {shown}/two") == 0
        assert run(inside, "env | grep -v -E '^(PATH|PWD|SHLVL|OLDPWD|_)=' | grep -q = && exit 1 || exit 0") == 0
    assert (root / "tmp/here").exists()
    assert [each.name for each in shown.iterdir()] == ["one"]


def test_no_process_of_it_is_left(root: Path) -> None:
    with room(root, []) as inside:
        assert run(inside, "sleep 1000 & sleep 1001 &") == 0
        before = below(inside.pid)
        assert len(before) >= 3
    assert not [each for each in before if lives(each)]


def test_what_takes_too_long_may_take_down_what_it_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "UNWIND_S", 5.0)
    with room(root, []) as inside:
        began_s = time.monotonic()
        with pytest.raises(Failed, match=r"not done within"):
            run(inside, "trap 'touch unwound; exit 0' INT; touch begun; while :; do sleep 0.1; done", deadline_s=1.0)
        assert (root / "tmp/unwound").exists()
        with pytest.raises(Failed, match=r"not done within"):
            run(inside, "trap '' INT; sleep 1000", deadline_s=0.5)
        assert time.monotonic() - began_s < TEST_S
    assert (root / "tmp/begun").exists()


def test_a_folder_that_is_no_root_is_told(tmp_path: Path) -> None:
    need("setpriv", "unshare")
    with pytest.raises(Failed, match="cannot be entered"), room(tmp_path / "nothing", []):
        pass


def lives(pid: int) -> bool:
    """Process 1 of it stays a moment longer, dead, until the host's own has taken note."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or between the opening and the reading
        return False


def below(pid: int) -> list[int]:
    """Every process of its namespace, as the host counts."""
    found = subprocess.run(["lsns", "-n", "-t", "pid", "-o", "NS,PID"], capture_output=True, text=True, check=True)
    (space,) = [line.split()[0] for line in found.stdout.splitlines() if line.split()[1] == str(pid)]
    listed = subprocess.run(["ps", "-eo", "pid=,pidns="], capture_output=True, text=True, check=True)
    return [int(each.split()[0]) for each in listed.stdout.splitlines() if each.split()[1] == space]
