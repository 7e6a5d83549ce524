"""The namespaces of one machine (or of the switch), seen from the host: find, start, enter and kill their holder.

A holder is recognised by its exact arguments and by being PID 1 of a PID namespace, and is killed through a pidfd:
a pid that was reused can never be hit, and nothing has to be written down that a crash could make stale.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.errors import Failed
from ployz.lab import holder
from ployz.lab.preloaded import programs as preloaded
from ployz.lab.programs import failed, printed, run, too_late

DEATH_S = 20
"""How long the kernel may take to end everything in a machine; a process that waits on FUSE ends with its daemon."""

_found_last: Final[dict[tuple[Path, str], int]] = {}


@frozen
class Namespaces:
    folder: Path
    """The lab's folder."""
    who: str
    pid: int
    """The holder's, as the host counts."""

    @property
    def root(self) -> Path:
        """The file system as it is inside, reachable for root on the host."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def has_mounts(self) -> bool:
        return self.who != holder.SWITCH

    def is_furnished(self) -> bool:
        return (self.root / holder.FURNISHED.relative_to("/")).is_dir()

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` inside."""
        inside = ["--mount", "--uts", "--ipc", "--pid"] if self.has_mounts else []
        return ["nsenter", "--target", str(self.pid), "--net", *inside, "--", *argv]

    def run(self, argv: Sequence[str], *, stdin: str | Path | None = None, deadline_s: float = 30) -> str:
        place = preloaded.find(argv[:1])
        if place and not isinstance(stdin, Path):
            return self._run_preloaded(place, argv, stdin, deadline_s)
        try:
            return run(self.enter(argv), stdin=stdin, deadline_s=deadline_s)
        except Failed as error:
            words = error.problem.text.replace(" ".join(self.enter([])) + " ", "", 1)
            raise failed(f"{self.who}: {words}", error.problem.advice) from None

    def _run_preloaded(self, place: str, argv: Sequence[str], stdin: str | None, deadline_s: float) -> str:
        try:
            done = preloaded.run(place, self.pid, argv, os.environ, stdin, deadline_s)
        except subprocess.TimeoutExpired:
            raise too_late(argv, deadline_s) from None
        try:
            return printed(argv, done.returncode, done.stdout, done.stderr)
        except Failed as error:
            raise failed(f"{self.who}: {error.problem.text}", error.problem.advice) from None

    def has_interface(self, name: str) -> bool:
        """Without running a program: /proc/PID/net is the network of that process."""
        return f"{name}:" in Path(f"/proc/{self.pid}/net/dev").read_text().split()

    def kill(self) -> None:
        """The power cut. Returns when no process is left inside."""
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                if _identify(self.pid, self.folder) != self.who:
                    return
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                # PID 1 of a namespace is reported dead only after all of its namespace is.
                if not select.select([handle], [], [], DEATH_S)[0]:
                    raise failed(
                        f"{self.who}: processes are still there {DEATH_S} s after the kill of {self.pid}",
                        "Look for a process in state D with ps.",
                    )
            finally:
                os.close(handle)


def start(folder: Path, who: str) -> Namespaces:
    """New namespaces. The machine's folder must exist."""
    pid = run([sys.executable, "-I", "-S", holder.__file__, holder.TAG, str(folder), who])
    return Namespaces(folder, who, int(pid))


def find(folder: Path, who: str) -> Namespaces | None:
    """Where it was found last is looked at first: the host has a thousand processes, and this is asked all the time."""
    pid = _found_last.get((folder, who))
    if pid is None or _identify(pid, folder) != who:
        pid = next((each.pid for each in find_all(folder) if each.who == who), None)
    if pid is None:
        return None
    _found_last[folder, who] = pid
    return Namespaces(folder, who, pid)


def find_all(folder: Path) -> Iterator[Namespaces]:
    """All that run for this lab, also those that its state does not know."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (who := _identify(int(entry.name), folder)):
            yield Namespaces(folder, who, int(entry.name))


def _identify(pid: int, folder: Path) -> str | None:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        if arguments[-3:-1] != [holder.TAG.encode(), bytes(folder)]:
            return None
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None  # it ended while we looked
    pids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return arguments[-1].decode() if len(pids) > 1 and pids[-1] == "1" else None
