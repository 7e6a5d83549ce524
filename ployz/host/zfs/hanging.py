"""Mounts that hang: programs in /proc that have waited for one for long, whoever started them.

What hangs outlives a restart of ployzd, so it is looked for, and not remembered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ployz.host.ports import Dataset, HangingMount
from ployz.surroundings import SLOWNESS

HANGS_S: Final = 20.0 * SLOWNESS
"""From this age on a mount counts as hanging. Sound ones take tenths of a second, and a few where a log is replayed."""

_ASKS: Final = frozenset({"mount", "unmount", "umount"})
_FORMAT: Final = "--format=mounted "
_START_TIME: Final = 19
"""Of the fields of /proc/PID/stat after the name of the program, which may hold blanks."""


def answers_argv(dataset: Dataset, mountpoint: str) -> Sequence[str]:
    """A program that ends once the file system answers. It says of which dataset, for whoever finds it hanging."""
    return ("stat", "--file-system", f"{_FORMAT}{dataset}", mountpoint)


def find_hanging(pool: str, own: str, *, by_daemon: bool, proc: Path = Path("/proc")) -> list[HangingMount]:
    """Oldest first. `own` names the process (a PID or `self`) in whose mount namespace they are."""
    own_namespace = (proc / own / "ns/mnt").readlink()
    up_s = float((proc / "uptime").read_text().split()[0])
    found = []
    for process in proc.iterdir():
        if not process.name.isdecimal():
            continue
        try:
            command = asked((process / "cmdline").read_text(errors="replace").split("\0")[:-1], pool)
            if command is None or (process / "ns/mnt").readlink() != own_namespace:
                continue
            ticks = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[_START_TIME])
        except OSError:
            continue  # it has ended
        age_s = up_s - ticks / os.sysconf("SC_CLK_TCK")
        if age_s >= HANGS_S:
            found.append(HangingMount(command, round(age_s), by_daemon))
    return sorted(found, key=lambda each: -each.age_s)


def asked(argv: Sequence[str], pool: str) -> str | None:
    """In words, if this is a mount of something in the pool, or of everything; None: it is something else."""
    match argv:
        case [program, verb, *rest] if os.path.basename(program) == "zfs" and verb in _ASKS:  # noqa: PTH119
            is_ours = any(each == "-a" or each.partition("/")[0] == pool for each in rest)
            return " ".join(("zfs", verb, *rest)) if is_ours else None
        case ["stat", "--file-system", form, mountpoint] if form.startswith(_FORMAT):
            is_ours = form.removeprefix(_FORMAT).partition("/")[0] == pool
            return f"stat {mountpoint}" if is_ours else None
        case _:
            return None
