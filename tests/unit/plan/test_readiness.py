from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.manifest.model import ExecProbe, Readiness
from ployz.plan.readiness import longest_s, pauses_s
from tests.unit.plan.bounds import BOUNDED

PROBE = ExecProbe(("true",))


def readiness(interval_s: float = 1.0, retries: int = 3, start_period_s: float = 0.0) -> Readiness:
    return Readiness(PROBE, interval_s=interval_s, timeout_s=2.0, retries=retries, start_period_s=start_period_s)


def test_the_first_looks_come_fast_and_the_others_at_the_interval() -> None:
    pauses = list(pauses_s(readiness()))
    assert pauses == [0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0, 1.0, 1.0]


def test_a_start_period_is_looked_through_and_counts_for_nothing() -> None:
    pauses = list(pauses_s(readiness(retries=2, start_period_s=5.0)))
    assert pauses[0] == 0.0
    assert pauses[-2:] == [1.0, 1.0]
    assert pauses.count(0.0) == 1
    assert 5.0 <= sum(pauses[:-2]) < 6.0


def test_a_short_interval_is_not_looked_at_more_often_than_it_says() -> None:
    assert list(pauses_s(readiness(interval_s=0.01, retries=2))) == [0.0, 0.01, 0.01]


@BOUNDED
@given(st.floats(0.01, 60), st.integers(1, 50), st.floats(0, 120))
def test_it_gives_up_after_the_retries_and_no_pause_is_longer_than_the_interval(
    interval_s: float, retries: int, start_period_s: float
) -> None:
    pauses = list(pauses_s(readiness(interval_s, retries, start_period_s)))
    assert max(pauses) <= interval_s
    assert pauses[-retries:] == [interval_s] * retries
    least_s = retries * interval_s
    assert least_s - 1e-6 <= sum(pauses) <= start_period_s + interval_s + least_s + 1e-6


def test_the_longest_wait_counts_every_timeout() -> None:
    assert longest_s(readiness(interval_s=0.01, retries=2)) == pytest.approx(0.02 + 3 * 2.0)
