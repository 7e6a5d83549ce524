"""Points at which a test kills this daemon, as a crash would, or stops it: before and after everything that others can
come to know.

They are in three places: the feed (what is written to the log), facts/killable (what is said to the authority), and
the story (the phases of a coordinator). Inert unless ployzd is started with PLOYZ_KILL_POINT.
"""

from __future__ import annotations

import logging
import os
import signal
from typing import Final

from attrs import define

VARIABLE: Final = "PLOYZ_KILL_POINT"
"""`POINT` or `POINT:N`, for its Nth time; `?` says in the log which points are reached, and kills nothing."""
LISTEN: Final = "?"
STOP: Final = "stop@"
"""Before a point: it is stopped there (SIGSTOP) until somebody has it go on, so that something can happen meanwhile."""

_log = logging.getLogger("ployz.killpoints")


@define
class _Trap:
    point: str = ""
    """Empty: none is set."""
    times: int = 1
    signal: signal.Signals = signal.SIGKILL


_trap: Final = _Trap()
"""Of the process, because it is the process that dies."""


def arm(text: str) -> None:
    """From the variable's text; empty: not at all."""
    _trap.signal = signal.SIGSTOP if text.startswith(STOP) else signal.SIGKILL
    point, _, times = text.removeprefix(STOP).partition(":")
    _trap.point, _trap.times = point, int(times or 1)


def reach(*words: str) -> None:
    """`reach("before", "append", "vote.cast")`. Does not return where the trap is set."""
    if not _trap.point:
        return
    point = "/".join(words)
    if _trap.point == LISTEN:
        _log.info("reached %s", point)
    elif _trap.point == point:
        _trap.times -= 1
        if _trap.times == 0:
            os.kill(os.getpid(), _trap.signal)
