"""Being in the root: namespaces of its own, with the root as the root of their mounts, until they are taken down.

`chroot` would not do: what enters a lab machine by `nsenter` goes to the root of the mount namespace.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.lab.programs import failed

BEGIN_S: Final = 20.0
UNWIND_S: Final = 90.0
"""For a command that was interrupted: to take its lab, and its tests, down."""
END_S: Final = 20.0
POLL_S: Final = 0.1
_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
"""To be started by the main thread: the kernel counts the end of a thread as its parent's."""
_APART: Final = (
    *(*_WITH_US, "unshare", "--mount", "--uts", "--ipc", "--pid"),
    *("--fork", "--kill-child", "--propagation", "private"),
)

# Process 1 of the root: it reaps what its children leave, and all of them end with it.
_FURNISH: Final = """
cd "$1"
mount --bind . .
cd "$1"
mount --rbind /dev dev
mount --rbind /sys sys
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lock
shift
for folder; do
    mkdir -p ".$folder"
    mount --bind "$folder" ".$folder"
    mount -o remount,bind,ro ".$folder"
done
mkdir -p run/before
pivot_root . run/before
cd /
umount -l run/before
rmdir run/before
echo ready
exec sh -c 'while :; do sleep 3600 & wait; done'
"""


@frozen
class Room:
    pid: int
    """Of its process 1, as the host counts."""

    def run(self, argv: Sequence[str], *, at: Path, environment: Mapping[str, str], deadline_s: float) -> int:
        """Its exit code. What it says goes to our output. Interrupted, or too late, it may take down what it made."""
        settings = [f"{key}={value}" for key, value in environment.items()]
        inside = ["env", "-i", *settings, "sh", "-c", f'cd {shlex.quote(str(at))} && exec "$@"', "sh", *argv]
        enter = [*_WITH_US, "nsenter", "--target", str(self.pid), "--mount", "--uts", "--ipc", "--pid", "--"]
        process = subprocess.Popen([*enter, *inside], stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            return process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            _unwind(process)
            raise failed(f"{shlex.join(argv)}: not done within {deadline_s:g} s") from None
        except BaseException:
            _unwind(process)
            raise


def _unwind(process: subprocess.Popen[bytes]) -> None:
    """Of the whole session that it began."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        end_s = time.monotonic() + UNWIND_S
        while time.monotonic() < end_s:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(POLL_S)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def room(root: Path, shown: Sequence[Path]) -> Iterator[Room]:
    """`shown`: folders of this host that are in it too, not to be written. No process of it is left afterwards."""
    process = subprocess.Popen(
        [*_APART, "sh", "-euc", _FURNISH, "sh", str(root), *map(str, shown)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
        begun, _, _ = select.select([process.stdout], [], [], BEGIN_S)
        if not begun or process.stdout.readline() != b"ready\n":
            raise failed(f"the root cannot be entered: {_words(process)}")
        yield Room(_first_child(process.pid))
    finally:
        _end(process)


def _words(process: subprocess.Popen[bytes]) -> str:
    process.kill()
    _, said = process.communicate()
    return " ".join(said.decode(errors="replace").split()) or f"it did not stand within {BEGIN_S:g} s"


def _first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Process 1 of a namespace is reported dead only after all of its namespace is."""
    handle = None
    with suppress(OSError, IndexError):
        handle = os.pidfd_open(_first_child(process.pid))
    try:
        process.kill()  # and its child with it
        process.communicate()
        if handle is not None and not select.select([handle], [], [], END_S)[0]:
            raise failed(f"processes in the root are still there {END_S:g} s after they were killed")
    finally:
        if handle is not None:
            os.close(handle)
