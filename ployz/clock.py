"""Time as a port: wall time for people and logs, monotonic time for measuring, both replaceable in tests.

Durations are never taken from the wall clock, which operators and NTP step.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, Protocol

STEP_VARIABLE: Final = "PLOYZ_WALL_CLOCK_STEP"
"""Inert unless ployzd is started with it: the path of a file with milliseconds, which a test adds to this daemon's wall
clock while it runs. No file is no step. The kernel has no namespace for this clock, and a lab's machines share one."""


class Clock(Protocol):
    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back and runs on through suspend."""
        ...


class SystemClock:
    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000 + _step_ms()

    def monotonic_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


def _step_ms() -> int:
    path = os.environ.get(STEP_VARIABLE)
    try:
        return int(Path(path).read_text()) if path else 0
    except FileNotFoundError:
        return 0
