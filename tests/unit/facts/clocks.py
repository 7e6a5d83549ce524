"""Clocks that a test moves: by hand, or by the scheduler's own virtual time."""

from __future__ import annotations

import anyio
import trio.testing


class HandClock:
    """Stands still until the test advances it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


class SchedulerClock:
    """What `anyio.sleep` sleeps by; with `virtual_time()`, hours pass at once."""

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(anyio.current_time() * 1000)

    def monotonic_s(self) -> float:
        return anyio.current_time()


def virtual_time() -> dict[str, object]:
    """Options for `anyio.run`: the clock jumps to the next deadline whenever all tasks wait. Not with threads."""
    return {"clock": trio.testing.MockClock(autojump_threshold=0)}
