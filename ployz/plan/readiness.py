"""When to look whether a candidate is ready, and when to give it up. Looking is host/readiness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ployz.manifest.model import Readiness

FIRST_PAUSE_S: Final = 0.02
"""The first looks come fast: a look that waits for the next interval would stand in the cut-over."""


def pauses_s(readiness: Readiness) -> Iterator[float]:
    """The pause before each look: none before the first one, doubling up to the interval, and as many at the
    interval as `retries` allow. It ends when the candidate is to be given up.
    """
    if readiness.start_period_s:
        yield from _rising(readiness.interval_s, until_s=readiness.start_period_s)
    yield from _rising(readiness.interval_s, until_s=readiness.interval_s)
    yield from [readiness.interval_s] * readiness.retries


def longest_s(readiness: Readiness) -> float:
    """From the start to giving up, when every look takes its whole timeout."""
    looks = list(pauses_s(readiness))
    return sum(looks) + len(looks) * readiness.timeout_s


def _rising(interval_s: float, *, until_s: float) -> Iterator[float]:
    yield 0.0
    passed_s, pause_s = 0.0, min(FIRST_PAUSE_S, interval_s)
    while passed_s + pause_s < until_s:
        yield pause_s
        passed_s += pause_s
        pause_s = min(2 * pause_s, interval_s)
