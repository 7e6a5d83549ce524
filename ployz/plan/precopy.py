"""When to send another round while the service runs, and what the cut-over is expected to take.

Each round sends what was written during the one before it, so rounds shrink as long as the link is faster than the
writer. A round is worth it while it shrinks what is left to send in the cut-over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from ployz.config import PRECOPY_ROUNDS_MAX, PRECOPY_SETTLED_BYTES

CONVERGING: Final = 0.7
"""A round that is not smaller than this part of the one before it does not pay: the writer keeps up with the link."""

STOP_START_MS: Final = 700
"""Stopping, snapshotting, mounting and starting, without the last send: what the lab measures for a small service."""
LINK_BYTES_PER_S: Final = 40 << 20
"""Assumed before anything was sent."""


@frozen
class Round:
    sent_bytes: int
    duration_ms: int


def worth_another(rounds: Sequence[Round]) -> bool:
    """Whether to send one more warm round. At least one is always sent."""
    if not rounds:
        return True
    if len(rounds) >= PRECOPY_ROUNDS_MAX or rounds[-1].sent_bytes <= PRECOPY_SETTLED_BYTES:
        return False
    return len(rounds) == 1 or rounds[-1].sent_bytes < CONVERGING * rounds[-2].sent_bytes


def expected_rounds(first_bytes: int) -> int:
    """Warm rounds that a preview promises: a first that is not small is followed by at least one more."""
    return 1 if first_bytes <= PRECOPY_SETTLED_BYTES else 2


def predicted_cutover_ms(rounds: Sequence[Round]) -> int:
    """What stopping and starting takes, and the last send: as many bytes as are written during the last warm round."""
    link = max((_per_ms(each) for each in rounds), default=LINK_BYTES_PER_S / 1000)
    return STOP_START_MS + round(_last_bytes(rounds) / link)


def _last_bytes(rounds: Sequence[Round]) -> float:
    """A round's bytes were written during the round before it: that is how fast the service writes."""
    if not rounds:
        return PRECOPY_SETTLED_BYTES
    if len(rounds) == 1:
        return min(rounds[0].sent_bytes, PRECOPY_SETTLED_BYTES)
    before, last = rounds[-2:]
    return last.sent_bytes * last.duration_ms / max(before.duration_ms, 1)


def _per_ms(sent: Round) -> float:
    return max(sent.sent_bytes, 1) / max(sent.duration_ms, 1)
