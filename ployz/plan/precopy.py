"""When to send another round while the service runs, and what the cut-over is expected to take.

Each round sends what was written since the one before it, so rounds shrink as long as the link is faster than the
writer. A round is worth it while it shrinks what is left to send in the cut-over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from statistics import median
from typing import Final

from attrs import astuple, evolve, frozen

from ployz.config import PRECOPY_ROUNDS_MAX, PRECOPY_TARGET_BYTES
from ployz.events.types import Cutover, CutoverParts
from ployz.ids import ServiceRef

CONVERGING: Final = 0.7
"""A round that does not make the last one smaller than this part of what it was does not pay."""

LINK_BYTES_PER_S: Final = 40 << 20
"""Assumed before anything large was sent."""
LARGE_BYTES: Final = 4 << 20
"""Of a round: from here on its time is the link's, below it is the programs' at both ends."""
OPEN_MS: Final = 100
"""From the end of the last warm round to the stop: the target makes ready for the last one."""
RECENT: Final = 5
"""So many of the last cut-overs are what is usual."""
UNMEASURED: Final = CutoverParts(
    stop_ms=150, unmount_ms=75, snapshot_ms=50, send_ms=100, mount_ms=75, start_ms=350, ready_ms=25, follow_ms=100
)
"""Of a small service, as the lab measures it. Send: of nothing."""


@frozen
class Round:
    sent_bytes: int
    duration_ms: int
    written_ms: int = 0
    """From the snapshot that it began from to its own: in which its bytes were written. 0: nobody knows."""


class Basis(StrEnum):
    """What an expectation goes by."""

    ITSELF = "its own cut-overs"
    OTHERS = "cut-overs of other services"
    NOTHING = "what is usual"


@frozen
class Expected:
    """What a cut-over takes whatever is left to send."""

    stop_ms: int
    round_ms: int
    """A last round of nothing."""
    rest_ms: int
    stop_bytes: int
    """Written by the services as they stop."""
    basis: Basis


@frozen
class Prediction:
    last_bytes: int
    """Of the last round."""
    cutover_ms: int
    stop_ms: int = 0
    """Of that, until the services are stopped; as the next two, for whoever wants to know what it is made of."""
    bytes_ms: int = 0
    round_ms: int = 0
    """Of the last round, beside its bytes."""


def worth_another(rounds: Sequence[Round]) -> bool:
    """Whether to send one more warm round. At least one is always sent."""
    if not rounds:
        return True
    left = _left_bytes(rounds)
    if len(rounds) >= PRECOPY_ROUNDS_MAX or left <= PRECOPY_TARGET_BYTES:
        return False
    return len(rounds) == 1 or left < CONVERGING * _left_bytes(rounds[:-1])


def expected_rounds(first_bytes: int) -> int:
    """Warm rounds that a preview promises: a first that is not small is followed by at least one more."""
    return 1 if first_bytes <= PRECOPY_TARGET_BYTES else 2


def expected(services: Collection[ServiceRef], cutovers: Sequence[Cutover]) -> Expected:
    """Of services that are stopped together the slowest counts. `cutovers`: as they were measured, oldest first."""
    each = [_expected(service, cutovers) for service in services]
    return Expected(
        stop_ms=max((one.stop_ms for one in each), default=0),
        round_ms=max((one.round_ms for one in each), default=0),
        rest_ms=max((one.rest_ms for one in each), default=0),
        stop_bytes=sum(one.stop_bytes for one in each),
        basis=max((one.basis for one in each), key=list(Basis).index, default=Basis.NOTHING),
    )


def _expected(service: ServiceRef, cutovers: Sequence[Cutover]) -> Expected:
    own = [each for each in cutovers if service in each.services][-RECENT:]
    if own:
        return _usual(own, Basis.ITSELF)
    if cutovers:
        return evolve(_usual(cutovers[-RECENT:], Basis.OTHERS), stop_bytes=0)
    return _usual([Cutover((service,), 0, sum(astuple(UNMEASURED)), 0, 0, 0, UNMEASURED)], Basis.NOTHING)


def _usual(cutovers: Sequence[Cutover], basis: Basis) -> Expected:
    """The median of each: one that was disturbed does not count."""
    stops_ms = [each.parts.hold_ms + each.parts.stop_ms for each in cutovers]
    sends_ms = [each.parts.send_ms + each.parts.receive_ms for each in cutovers]
    whole = zip(cutovers, stops_ms, sends_ms, strict=True)
    return Expected(
        stop_ms=round(median(stops_ms)),
        round_ms=round(median(_of_nothing_ms(each, send_ms) for each, send_ms in zip(cutovers, sends_ms, strict=True))),
        rest_ms=round(median(each.took_ms - stop_ms - send_ms for each, stop_ms, send_ms in whole)),
        stop_bytes=round(median(each.stop_bytes for each in cutovers)),
        basis=basis,
    )


def _of_nothing_ms(cutover: Cutover, send_ms: int) -> float:
    return max(0.0, send_ms - cutover.last_bytes / LINK_BYTES_PER_S * 1000)


def predicted(rounds: Sequence[Round], around: Expected) -> Prediction:
    """Of the last round and the cut-over, after these warm ones. No round: before the first."""
    written_bytes = _left_bytes(rounds) + _rate(rounds) * around.stop_ms
    last_bytes = round(written_bytes) + around.stop_bytes
    round_ms, bytes_ms = _round_ms(rounds, around), last_bytes / _link(rounds)
    cutover_ms = around.stop_ms + around.rest_ms + round(round_ms + bytes_ms)
    return Prediction(last_bytes, cutover_ms, around.stop_ms, round(bytes_ms), round(round_ms))


def predicted_without_data(around: Expected) -> Prediction:
    """Of services that leave no volume behind."""
    return Prediction(0, around.stop_ms + around.rest_ms)


def stop_bytes(predicted_bytes: int, around: Expected, last_bytes: int) -> int:
    """What a last round sent beyond the rate at which its services wrote before: they wrote it as they stopped."""
    return max(0, last_bytes - (predicted_bytes - around.stop_bytes))


def _left_bytes(rounds: Sequence[Round]) -> float:
    """What is written while the last of them is sent, and the next made ready for."""
    if not rounds:
        return PRECOPY_TARGET_BYTES
    last = rounds[-1]
    if not last.written_ms:
        return last.sent_bytes  # a first round: nobody knows since when, but surely for longer than it took
    return _rate(rounds) * (last.duration_ms + OPEN_MS)


def _rate(rounds: Sequence[Round]) -> float:
    """Bytes a ms, as the service wrote them last. 0: not known yet."""
    return rounds[-1].sent_bytes / rounds[-1].written_ms if rounds and rounds[-1].written_ms else 0.0


def _link(rounds: Sequence[Round]) -> float:
    """Bytes a ms: the fastest round that was not too small to say."""
    speeds = [each.sent_bytes / max(each.duration_ms, 1) for each in rounds if each.sent_bytes >= LARGE_BYTES]
    return max(speeds, default=LINK_BYTES_PER_S / 1000)


def _round_ms(rounds: Sequence[Round], around: Expected) -> float:
    """What a round takes beside its bytes: the quickest of the small ones, else the one that was measured before."""
    link = _link(rounds)
    small = [each.duration_ms - each.sent_bytes / link for each in rounds if each.sent_bytes < LARGE_BYTES]
    return max(0.0, min(small, default=float(around.round_ms)))
