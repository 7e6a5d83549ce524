"""What was previewed is agreed to, and three times that; with more, nothing is stopped, and the reason is said."""

from __future__ import annotations

import pytest

from ployz.errors import Code, Failed
from ployz.plan.patience import LEAST_MS, Patience, patience, require_patience
from ployz.plan.precopy import Prediction

MIB = 1 << 20


def refusal(allowed: Patience, prediction: Prediction, *, verified: bool = False) -> str:
    with pytest.raises(Failed) as caught:
        require_patience(allowed, prediction, verified=verified)
    assert caught.value.code is Code.CUTOVER_TOO_LONG
    return f"{caught.value.problem.text} / {caught.value.problem.advice}"


@pytest.mark.parametrize(
    ("asked_s", "previewed_ms", "limit_ms"),
    [(None, 900, LEAST_MS), (None, 2 * LEAST_MS, 6 * LEAST_MS), (0.5, 900, 500), (60.0, 900, 60_000)],
)
def test_three_times_the_preview_is_agreed_to_and_what_somebody_asks_for(
    asked_s: float | None, previewed_ms: int, limit_ms: int
) -> None:
    assert patience(asked_s, previewed_ms).limit_ms == limit_ms


def test_what_is_not_longer_goes_on() -> None:
    require_patience(patience(1.0, 900), Prediction(MIB, 1000), verified=True)


def test_data_that_is_written_faster_than_it_is_sent_is_named_with_what_would_be_enough() -> None:
    said = refusal(patience(None, 1500), Prediction(600 * MIB, 16_450, stop_ms=200, bytes_ms=15_500, round_ms=100))
    assert said == (
        "the cut-over would take about 16s, and may take 10s, where 2s were previewed and nothing else was asked for. "
        "600M are left to send, written while the round before was sent. Nothing was stopped / "
        "Give it again when less is written, or with --max-cutover 21s, or --anyway."
    )


@pytest.mark.parametrize(
    ("prediction", "verified", "why"),
    [
        (Prediction(0, 90_000, stop_ms=80_000), False, "Its services take 80s to stop."),
        (Prediction(0, 90_000, round_ms=80_000), False, "A round takes 80s beside its bytes."),
        (
            Prediction(0, 90_000, round_ms=80_000),
            True,
            "A round takes 80s beside its bytes, with every file that changed read on both sides.",
        ),
        (Prediction(0, 90_000, stop_ms=100), False, "Starting them there takes 90s."),
    ],
)
def test_what_makes_it_long_is_said(prediction: Prediction, verified: bool, why: str) -> None:
    assert why in refusal(patience(5.0, 900), prediction, verified=verified)
