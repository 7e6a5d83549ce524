"""SIGTERM as Ctrl-C: what a command has made is taken down in either case.

Once: whoever asks for it again, as a terminal and a parent together do, must not break off the taking down.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """While the block runs. In the main thread alone: no other receives signals. Ctrl-C by hand counts every time."""
    asked = False

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGTERM:
            return
        asked = True
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
