"""Waiting for the next fact: everybody who waits is woken at once, and looks for himself.

Only the waiting; what the news is stands in a log.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio


class News:
    def __init__(self) -> None:
        self._next = anyio.Event()

    def spread(self) -> None:
        self._next.set()
        self._next = anyio.Event()

    async def wait(self, is_there: Callable[[], bool], wait_s: float) -> None:
        """Until `is_there()` or `wait_s` is over, whichever comes first."""
        with anyio.move_on_after(wait_s):
            while not is_there():
                await self._next.wait()
