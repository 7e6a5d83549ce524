from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ployz.config import PRECOPY_ROUNDS_MAX, PRECOPY_SETTLED_BYTES
from ployz.plan.precopy import STOP_START_MS, Round, expected_rounds, predicted_cutover_ms, worth_another
from tests.unit.plan.bounds import BOUNDED

MIB = 1 << 20


def rounds(*sent_mib: float) -> list[Round]:
    """At 100 MiB a second."""
    return [Round(int(each * MIB), int(each * 10)) for each in sent_mib]


def test_one_round_is_always_sent() -> None:
    assert worth_another([])


def test_a_small_round_is_the_last_one() -> None:
    assert not worth_another(rounds(4))
    assert not worth_another(rounds(500, 3))


def test_a_large_first_round_is_followed_by_another() -> None:
    assert worth_another(rounds(500))


def test_rounds_go_on_while_they_shrink() -> None:
    assert worth_another(rounds(500, 100))
    assert worth_another(rounds(500, 100, 50))


def test_rounds_end_when_the_writer_keeps_up_with_the_link() -> None:
    assert not worth_another(rounds(500, 400))
    assert not worth_another(rounds(100, 100))
    assert not worth_another(rounds(100, 300))


@BOUNDED
@given(st.lists(st.builds(Round, st.integers(0, 2**40), st.integers(0, 10**6)), max_size=20))
def test_rounds_are_bounded_whatever_is_written(sent: list[Round]) -> None:
    assert len(sent) < PRECOPY_ROUNDS_MAX or not worth_another(sent)


def test_a_preview_expects_no_more_rounds_than_there_can_be() -> None:
    assert expected_rounds(PRECOPY_SETTLED_BYTES) == 1
    assert expected_rounds(PRECOPY_SETTLED_BYTES + 1) == 2


def test_a_prediction_before_anything_was_sent_is_a_stop_a_start_and_a_small_send() -> None:
    assert predicted_cutover_ms([]) == STOP_START_MS + 100


def test_what_is_written_during_the_last_round_is_what_the_cut_over_sends() -> None:
    """100 MiB/s; 100 MiB were written in the 5 s of the first round, so 20 in the second one's: 0.2 s to send."""
    assert predicted_cutover_ms(rounds(500, 100)) == STOP_START_MS + 200


def test_a_writer_that_keeps_up_makes_a_long_cut_over_and_the_prediction_says_so() -> None:
    assert predicted_cutover_ms(rounds(500, 500)) == STOP_START_MS + 5000


def test_a_prediction_does_not_grow_with_the_volume() -> None:
    small, large = rounds(500, 100), rounds(5000, 1000)
    assert predicted_cutover_ms([large[0], *small]) == predicted_cutover_ms(small)


@BOUNDED
@given(st.lists(st.builds(Round, st.integers(0, 2**50), st.integers(0, 10**7)), max_size=8))
def test_a_prediction_is_at_least_a_stop_and_a_start(sent: list[Round]) -> None:
    assert predicted_cutover_ms(sent) >= STOP_START_MS
