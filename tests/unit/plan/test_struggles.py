"""What is put back again and again: at once at first, then ever more rarely, and as new after a quiet time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ployz.plan.struggles import AT_ONCE, PAUSE_MAX_S, QUIET_S, Struggles, due, pause_s, put_back, seen

GONE = {"rules": ("PLOYZ",)}


def fought(times: int) -> Struggles:
    struggles: Struggles = {}
    now_s = 0.0
    for _ in range(times):
        struggles = seen(struggles, GONE, now_s)
        now_s = max(now_s, struggles["rules"].next_s)
        struggles = put_back(seen(struggles, GONE, now_s), due(struggles, now_s), now_s)
        struggles = seen(struggles, {}, now_s)
    return struggles


def test_what_is_well_is_not_remembered() -> None:
    assert seen({}, {}, 1.0) == {}
    assert seen(seen({}, GONE, 1.0), {}, 2.0) == {}


def test_the_first_times_it_is_put_back_at_once() -> None:
    for times in range(AT_ONCE):
        struggles = seen(fought(times), GONE, 0.0)
        assert due(struggles, 0.0) == {"rules"}


def test_then_it_waits_and_is_contested() -> None:
    struggles = seen(fought(AT_ONCE + 1), GONE, 100.0)
    each = struggles["rules"]
    assert each.is_contested
    assert due(struggles, each.next_s - 0.1) == frozenset()
    assert due(struggles, each.next_s) == {"rules"}


def test_after_a_quiet_time_it_begins_anew() -> None:
    late_s = fought(5)["rules"].next_s + QUIET_S + 1
    assert seen(fought(5), {}, late_s) == {}
    assert seen(fought(5), GONE, late_s)["rules"].repairs == 0


@given(st.integers(0, 10_000))
def test_no_pause_is_without_end_and_none_is_shorter_than_the_one_before(repairs: int) -> None:
    assert 0 <= pause_s(repairs) <= pause_s(repairs + 1) <= PAUSE_MAX_S
