"""A machine that stands still: all of its processes but the holder are stopped, and later go on."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from ployz.lab.namespaces import Namespaces


def freeze(machine: Namespaces) -> None:
    """Until a look finds none that runs: what was just being started is stopped too."""
    while running := [pid for pid in _inside(machine) if _state(pid) not in ("T", "Z", "")]:
        _signal(running, signal.SIGSTOP)


def thaw(machine: Namespaces) -> None:
    _signal(_inside(machine), signal.SIGCONT)


def processes(machine: Namespaces) -> int:
    """How many it has, besides the holder."""
    return len(_inside(machine))


def _signal(pids: list[int], which: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, which)


def _inside(machine: Namespaces) -> list[int]:
    """Everything below the holder, which is their init: containers too, whatever namespaces they have."""
    children = defaultdict[int, list[int]](list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _fields(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found: list[int] = []
    pending = [machine.pid]
    while pending:
        below = children[pending.pop()]
        found += below
        pending += below
    return found


def _state(pid: int) -> str:
    return next(iter(_fields(pid)), "")


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat from the state on; none: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []
