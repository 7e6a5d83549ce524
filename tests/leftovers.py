"""Runs a command, and fails it for whatever it left behind: a process, namespace, mount, loop device, interface, file.

    python -m tests.leftovers [--beside] DEADLINE_S COMMAND…

Orphans of the command become children of this program, and its temporary files lie in a folder of their own: these are
the command's for certain. The rest is a comparison of before and after, of things that only our tests make; with
`--beside`, others run meanwhile and make such things too, so that whoever started them all has to compare.
"""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER
GRACE_S = 5.0
"""What is ending when the command ends may take this long."""
UNWIND_S = 60.0
"""After the deadline: for fixtures to take down what they made."""
POLL_S = 0.05
TIMED_OUT = 124
BESIDE = "--beside"
PYTEST_FILES = "PYTEST_DEBUG_TEMPROOT"
"""Pytest keeps those of the last runs on purpose, and a path that grew would be too long for the sockets in them."""


def main(argv: Sequence[str]) -> int:
    alone = argv[0] != BESIDE
    deadline_s, *command = argv if alone else argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    with TemporaryDirectory(prefix="ployz-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # a test that becomes another user finds its way through
        before = set(things())
        exit_code = _run(command, float(deadline_s), {"TMPDIR": folder, PYTEST_FILES: gettempdir()})

        def left_now() -> list[str]:
            more = sorted(set(things()) - before) if alone else []
            return [*_processes(), *_files(Path(folder)), *more]

        left = wait_until_none(left_now)
        _end_processes()
    for each in left:
        print(f"left behind: {each}", file=sys.stderr)
    return exit_code or bool(left)


def _run(command: Sequence[str], deadline_s: float, variables: Mapping[str, str]) -> int:
    """Its exit code. Whoever died is reaped at once: to a test, a dead process that is still listed looks alive."""
    pid = os.posix_spawnp(command[0], list(command), {**os.environ, **variables})
    try:
        if (exit_code := _reap_until(pid, deadline_s)) is not None:
            return exit_code
        print(f"not done within {deadline_s:g} s: interrupted", file=sys.stderr)
        os.kill(pid, signal.SIGINT)
    except KeyboardInterrupt:
        pass  # the command got the same from the terminal
    if _reap_until(pid, UNWIND_S) is None:
        os.kill(pid, signal.SIGKILL)
    return TIMED_OUT


def _reap_until(pid: int, deadline_s: float) -> int | None:
    """The exit code of `pid`; `None`: it has not ended by then."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == pid:
            return abs(os.waitstatus_to_exitcode(status))
        if ended == 0:
            time.sleep(POLL_S)
    return None


def wait_until_none(look: Callable[[], list[str]]) -> list[str]:
    """What is still there after a while."""
    end_s = time.monotonic() + GRACE_S
    while (found := look()) and time.monotonic() < end_s:
        time.sleep(POLL_S)
    return found


# ---------------------------------------------------------------- processes


def _processes() -> list[str]:
    return [f"process {pid}: {_arguments(pid)}" for pid in _children()]


def _children() -> list[int]:
    """Those that live: every process that the command started and nobody else waits for."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _arguments(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "ended"


def _end_processes() -> None:
    """And what they started: their orphans come here too."""
    end_s = time.monotonic() + GRACE_S
    while (children := _children()) and time.monotonic() < end_s:
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)


# ---------------------------------------------------------------- everything else


def _files(folder: Path) -> list[str]:
    return [f"file {path}" for path in sorted(folder.iterdir())]


def things() -> Iterator[str]:
    """What is there now, a line each."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        yield f"mount {line.split()[4]}"
    for device in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # detached while we looked
            yield f"loop device {device.parts[3]} of {device.read_text().strip()}"
    for interface in Path("/sys/class/net").iterdir():
        yield f"interface {interface.name}"
    for namespace in Path("/run/netns").glob("*"):
        yield f"network namespace {namespace.name}"
    for group in Path("/sys/fs/cgroup").glob("*/ployz-lab-test-*"):
        yield f"control group {group}"
    for lab in Path("/var/tmp/ployz-lab").glob("test-*"):
        yield f"lab {lab.name}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
