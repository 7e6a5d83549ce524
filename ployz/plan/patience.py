"""Whether a cut-over may begin: the last decision before anything stops, when what it will take is known best. Pure.

A preview says what a cut-over takes before anything was sent. A table that is updated meanwhile, a file that is
verified, a program that needs long to stop make more of it; whoever agreed to a second is not given a minute.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ployz.errors import Code, Failed
from ployz.manifest.quantities import duration_text, size_text
from ployz.plan.precopy import Prediction
from ployz.surroundings import SLOWNESS

TIMES: Final = 3
"""What was previewed, and not more, is agreed to."""
LEAST_MS: Final = round(10_000 * SLOWNESS)
"""Below it nothing is too long unless somebody says so: a guess that is off by seconds is no reason to stay."""


@frozen
class Patience:
    limit_ms: int
    said: str
    """Where that comes from, as the end of a sentence."""


def patience(asked_s: float | None, previewed_ms: int) -> Patience:
    """`asked_s`: by the operator, for this operation. `previewed_ms`: as the plan has it."""
    if asked_s is not None:
        return Patience(round(asked_s * 1000), "as it was asked for")
    if TIMES * previewed_ms > LEAST_MS:
        return Patience(TIMES * previewed_ms, f"{TIMES} times what the preview said")
    return Patience(LEAST_MS, f"where {_text(previewed_ms)} were previewed and nothing else was asked for")


def require_patience(allowed: Patience, prediction: Prediction, *, verified: bool) -> None:
    """`Failed` (CUTOVER_TOO_LONG): nothing was stopped yet, and nothing is.

    `verified`: every file of a round is read on both sides.
    """
    if prediction.cutover_ms <= allowed.limit_ms:
        return
    enough = duration_text(-(-prediction.cutover_ms * 5 // 4000))
    raise Failed(
        Code.CUTOVER_TOO_LONG,
        f"the cut-over would take about {_text(prediction.cutover_ms)}, and may take {_text(allowed.limit_ms)}, "
        f"{allowed.said}. {_why(prediction, verified=verified)} Nothing was stopped",
        f"Give it again when less is written, or with --max-cutover {enough}, or --anyway.",
    )


def _why(prediction: Prediction, *, verified: bool) -> str:
    """The largest of its parts, in words."""
    beside_ms = prediction.cutover_ms - prediction.stop_ms - prediction.bytes_ms - prediction.round_ms
    reading = ", with every file that changed read on both sides" if verified else ""
    words = {
        f"{size_text(_round(prediction.last_bytes))} are left to send, written while the round before was sent.": (
            prediction.bytes_ms
        ),
        f"A round takes {_text(prediction.round_ms)} beside its bytes{reading}.": prediction.round_ms,
        f"Its services take {_text(prediction.stop_ms)} to stop.": prediction.stop_ms,
        f"Starting them there takes {_text(beside_ms)}.": beside_ms,
    }
    return max(words, key=words.__getitem__)


def _text(duration_ms: int) -> str:
    """From the second on in seconds, as nobody counts the rest."""
    seconds = round(duration_ms / 1000)
    return duration_text(seconds) if seconds else f"{duration_ms}ms"


def _round(size_bytes: int) -> int:
    """To whole mebibytes."""
    return max(1, size_bytes >> 20) << 20
