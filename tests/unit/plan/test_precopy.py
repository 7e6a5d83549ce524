from __future__ import annotations

from attrs import astuple, evolve
from hypothesis import given
from hypothesis import strategies as st

from ployz.config import PRECOPY_ROUNDS_MAX, PRECOPY_TARGET_BYTES
from ployz.events.types import Cutover, CutoverParts
from ployz.ids import ServiceRef
from ployz.plan import precopy
from ployz.plan.precopy import UNMEASURED, Basis, Expected, Round, expected_rounds, predicted, worth_another
from tests.unit.plan.bounds import BOUNDED

MIB = 1 << 20
DB, WEB = ServiceRef.parse("production/db"), ServiceRef.parse("production/web")
AROUND = Expected(stop_ms=100, round_ms=80, rest_ms=400, stop_bytes=0, basis=Basis.ITSELF)


def rounds(*sent_mib: float) -> list[Round]:
    """At 100 MiB a second, one right after the other."""
    durations_ms = [int(each * 10) for each in sent_mib]
    written_ms = [0, *durations_ms]
    return [
        Round(int(each * MIB), took_ms, since_ms)
        for each, took_ms, since_ms in zip(sent_mib, durations_ms, written_ms, strict=False)
    ]


def cutover(*services: ServiceRef, took_ms: int = 500, stop_ms: int = 100, stop_bytes: int = 0) -> Cutover:
    parts = CutoverParts(stop_ms=stop_ms, send_ms=60, receive_ms=20)
    return Cutover(services, 450, took_ms, 0, stop_bytes, stop_bytes, parts)


# ---------------------------------------------------------------- rounds


def test_one_round_is_always_sent() -> None:
    assert worth_another([])


def test_a_small_round_is_the_last_one() -> None:
    assert not worth_another(rounds(1))


def test_a_large_first_round_is_followed_by_another() -> None:
    assert worth_another(rounds(500))


def test_rounds_go_on_while_what_they_leave_shrinks() -> None:
    assert worth_another(rounds(500, 100))
    assert worth_another(rounds(500, 100, 20))


def test_a_round_that_leaves_less_than_the_target_is_the_last_one() -> None:
    """3 MiB in 5 s: 0.1 MiB are written while they are sent and the last round is made ready for."""
    assert not worth_another(rounds(500, 3))


def test_rounds_end_when_the_writer_keeps_up_with_the_link() -> None:
    assert not worth_another(rounds(500, 400, 350))
    assert not worth_another(rounds(100, 100, 100))
    assert not worth_another(rounds(100, 300, 900))


@BOUNDED
@given(st.lists(st.builds(Round, st.integers(0, 2**40), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20))
def test_rounds_are_bounded_whatever_is_written(sent: list[Round]) -> None:
    assert len(sent) < PRECOPY_ROUNDS_MAX or not worth_another(sent)


def test_a_preview_expects_no_more_rounds_than_there_can_be() -> None:
    assert expected_rounds(PRECOPY_TARGET_BYTES) == 1
    assert expected_rounds(PRECOPY_TARGET_BYTES + 1) == 2


# ---------------------------------------------------------------- the prediction


def test_before_anything_was_sent_the_last_round_is_what_rounds_aim_for() -> None:
    found = predicted([], AROUND)
    assert found.last_bytes == PRECOPY_TARGET_BYTES
    assert found.cutover_ms == 100 + 400 + 80 + 25


def test_what_is_written_until_the_stop_is_what_the_cut_over_sends() -> None:
    """20 MiB/s are written: while the second round is sent (1 s), the last is made ready for, and the service stops."""
    found = predicted(rounds(500, 100), AROUND)
    assert found.last_bytes == 24 * MIB
    assert found.cutover_ms == 100 + 400 + 80 + 240


def test_what_a_service_writes_as_it_stops_is_expected_the_next_time() -> None:
    sent = rounds(500, 100)
    plain = predicted(sent, AROUND)
    stopping = evolve(AROUND, stop_bytes=precopy.stop_bytes(plain.last_bytes, AROUND, plain.last_bytes + 18 * MIB))
    assert predicted(sent, stopping).last_bytes == plain.last_bytes + 18 * MIB
    assert precopy.stop_bytes(predicted(sent, stopping).last_bytes, stopping, plain.last_bytes + 18 * MIB) == 18 * MIB


def test_a_service_that_stops_slowly_is_expected_to() -> None:
    slow = precopy.expected([DB], [cutover(DB, took_ms=8400, stop_ms=8000)])
    assert predicted([], slow).cutover_ms >= 8400


def test_a_writer_that_keeps_up_makes_a_long_cut_over_and_the_prediction_says_so() -> None:
    assert predicted(rounds(500, 500), AROUND).cutover_ms > 5000


def test_a_prediction_does_not_grow_with_the_volume() -> None:
    small, large = rounds(500, 100, 20), rounds(5000, 1000, 200, 40, 8)
    assert predicted(large, AROUND).last_bytes < predicted(small, AROUND).last_bytes * 1.1


def test_what_a_small_round_takes_is_what_sending_takes_beside_its_bytes() -> None:
    sent = [Round(500 * MIB, 5000), Round(MIB, 160, 5000)]
    assert predicted(sent, AROUND).cutover_ms == 100 + 400 + 150 + 1


def test_services_without_data_take_no_time_to_send() -> None:
    assert precopy.predicted_without_data(AROUND).cutover_ms == 500


@BOUNDED
@given(st.lists(st.builds(Round, st.integers(0, 2**50), st.integers(0, 10**7), st.integers(0, 10**7)), max_size=8))
def test_a_prediction_is_at_least_a_stop_and_a_start(sent: list[Round]) -> None:
    assert predicted(sent, AROUND).cutover_ms >= 500


# ---------------------------------------------------------------- what it goes by


def test_a_service_that_never_moved_is_expected_to_be_like_the_others() -> None:
    assert precopy.expected([DB], []).basis is Basis.NOTHING
    assert predicted([], precopy.expected([DB], [])).cutover_ms == sum(astuple(UNMEASURED)) + 25
    others = precopy.expected([DB], [cutover(WEB, stop_bytes=9)])
    assert (others.basis, others.stop_bytes) == (Basis.OTHERS, 0)


def test_a_service_is_expected_to_be_as_it_usually_was_and_one_disturbed_cut_over_does_not_count() -> None:
    usual = [cutover(DB), cutover(WEB, took_ms=5000), cutover(DB, took_ms=9000, stop_ms=4000), cutover(DB)]
    found = precopy.expected([DB], usual)
    assert (found.basis, found.stop_ms, found.round_ms, found.rest_ms) == (Basis.ITSELF, 100, 80, 320)


def test_of_services_that_stop_together_the_slowest_counts() -> None:
    found = precopy.expected([DB, WEB], [cutover(DB, stop_ms=50), cutover(WEB, took_ms=900, stop_ms=300)])
    assert (found.stop_ms, found.rest_ms) == (300, 520)
    assert precopy.expected([DB, WEB], [cutover(DB)]).basis is Basis.OTHERS
