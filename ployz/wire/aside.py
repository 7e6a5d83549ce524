"""Work on what others sent, beside the event loop: in a thread, a few at a time, with a deadline.

A thread cannot be ended: what runs here must be bounded by the size of what it is given, as `tests/fuzz` measures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from ployz.errors import Code, Refused

ASIDE_S: Final = 10.0
"""Waiting for its turn, and the work. 1 MiB takes some 2 s at worst."""
AT_ONCE: Final = 1
"""Of each lane: Python computes one thing at a time anyway, and what waits holds no processor."""

T = TypeVar("T")


class Aside(Protocol):
    async def run(self, work: Callable[[], T], *, for_stranger: bool) -> T:
        """What `work` returns or raises. Strangers wait in a lane of their own, behind each other alone.

        `Refused` (MAILBOX_FULL): it was not done within ASIDE_S, and nothing comes of it.
        """
        ...


class ThreadAside:
    def __init__(self) -> None:
        self._lanes: dict[bool, CapacityLimiter] = {}

    async def run(self, work: Callable[[], T], *, for_stranger: bool) -> T:
        lane = self._lanes.setdefault(for_stranger, CapacityLimiter(AT_ONCE))
        try:
            with anyio.fail_after(ASIDE_S):
                return await to_thread.run_sync(work, limiter=lane, abandon_on_cancel=True)
        except TimeoutError:
            text = f"what was asked is larger, or behind more, than is read within {ASIDE_S:g} s"
            raise Refused(Code.MAILBOX_FULL, text, "Try again in a moment.") from None


class InlineAside:
    """On the loop itself: for clusters whose time is virtual, which a thread would not wait for."""

    async def run(self, work: Callable[[], T], *, for_stranger: bool) -> T:  # noqa: ARG002 - there is one lane
        return work()
