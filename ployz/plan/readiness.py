"""When to look whether a candidate is ready, and when to give it up. Looking is host/readiness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ployz.manifest.model import Readiness

FIRST_PAUSE_S: Final = 0.02
"""The first looks come fast: a look that waits for the next interval would stand in the cut-over."""


def pauses_s(readiness: Readiness) -> Iterator[float]:
    """The pause before each look. None before the first; doubling up to the interval while the start period and one
    interval last; then `retries` times the interval. It ends when the candidate is to be given up.
    """
    yield 0.0
    passed_s, pause_s = 0.0, min(FIRST_PAUSE_S, readiness.interval_s)
    while passed_s + pause_s < readiness.start_period_s + readiness.interval_s:
        yield pause_s
        passed_s += pause_s
        pause_s = min(2 * pause_s, readiness.interval_s)
    yield from (readiness.interval_s for _ in range(readiness.retries))


def longest_s(readiness: Readiness) -> float:
    """From the start to giving up, when every look takes its whole timeout."""
    return sum(pause_s + readiness.timeout_s for pause_s in pauses_s(readiness))
