"""Virtual time and a seeded scheduler: the same seed gives the same run, and hours pass at once.

The only file that touches trio's private parts.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import trio
import trio.testing

EPOCH_MS = 1_700_000_000_000
LIMIT_S = 24 * 3600.0
"""Of virtual time. A run that takes longer hangs."""


class VirtualClock:
    """What `anyio.sleep` sleeps by."""

    def wall_ms(self) -> int:
        return EPOCH_MS + round(anyio.current_time() * 1000)

    def monotonic_s(self) -> float:
        return anyio.current_time()


def run_seeded(body: Callable[[random.Random], Awaitable[None]], seed: int) -> None:
    """Runs `body` with a source of randomness of its own; the scheduler shuffles by the same seed."""

    async def main() -> None:
        with anyio.fail_after(LIMIT_S):
            await body(random.Random(seed))  # noqa: S311 - a simulation's dice

    scheduler = vars(trio._core._run)
    before = scheduler["_ALLOW_DETERMINISTIC_SCHEDULING"]
    scheduler["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    scheduler["_r"].seed(seed)
    try:
        anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})
    finally:
        scheduler["_ALLOW_DETERMINISTIC_SCHEDULING"] = before


def reseed(seed: int) -> None:
    """The scheduler goes on as if it had been started with this seed."""
    vars(trio._core._run)["_r"].seed(seed)
