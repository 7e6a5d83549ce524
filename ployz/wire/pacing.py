"""How fast bytes may leave: one limit for everything that goes out under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
from attrs import define, field

BURST_S = 0.1
"""What was not used is forgotten after so long."""


@define(eq=False)
class Pace:
    """Whoever comes first goes first, and nobody waits longer than for what came before."""

    bytes_per_s: Callable[[], int | None]
    """Asked each time: it may change while a stream runs. None: no limit."""
    _free_at_s: float = field(default=0.0, init=False)
    """When everything so far has had its time."""

    async def take(self, size_bytes: int) -> None:
        """Returns when so many bytes may go."""
        if (rate := self.bytes_per_s()) is None:
            return
        goes_at_s = max(self._free_at_s, anyio.current_time() - BURST_S)
        self._free_at_s = goes_at_s + size_bytes / rate
        await anyio.sleep_until(goes_at_s)


def piece_bytes(paces: Sequence[Pace], largest: int) -> int:
    """Pieces so small that one leaves several times a second, or the other side would think that nobody is there."""
    rates = [rate for pace in paces if (rate := pace.bytes_per_s()) is not None]
    return max(4096, min(largest, *(rate // 8 for rate in rates))) if rates else largest
