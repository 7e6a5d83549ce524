from __future__ import annotations

import pytest

from ployz.manifest.model import ExecProbe, HttpProbe, PortName, Readiness, TcpProbe
from ployz.plan.health import FAILURES_MAX, Health, answered, failed, look_every_s, starts_within_s

TCP = Readiness(TcpProbe(PortName("main")), interval_s=1.0, retries=10)
BEGAN_MS = 1_000_000
NEW = Health()
LATER_MS = BEGAN_MS + 3_600_000


def after(*looks: str | None, health: Health = NEW, at_ms: int = LATER_MS, began_ms: int = BEGAN_MS) -> Health:
    for why in looks:
        health = answered(health, at_ms) if why is None else failed(health, TCP, why, began_ms, at_ms)
        at_ms += 2_000
    return health


def test_readiness_is_lost_after_some_failures_in_a_row_and_back_with_one_answer() -> None:
    assert after(None, "refused", "refused").ready is True
    lost = after(None, *["refused"] * FAILURES_MAX)
    assert (lost.ready, lost.why, lost.since_ms) == (False, "refused", LATER_MS + 2_000 * FAILURES_MAX)
    assert after(None, "refused", "refused", None, "refused", "refused").ready is True
    assert after(None, health=lost).ready is True


def test_it_is_lost_since_the_first_time_and_says_what_the_last_look_said() -> None:
    lost = after(None, *["refused"] * FAILURES_MAX)
    longer = after("no answer", health=lost, at_ms=LATER_MS + 60_000)
    assert (longer.since_ms, longer.why) == (lost.since_ms, "no answer")


def test_a_container_that_has_just_been_started_is_given_the_time_that_its_manifest_gives() -> None:
    soon_ms = BEGAN_MS + 1_000
    assert after(*["refused"] * 4, at_ms=soon_ms).ready is None
    over_ms = BEGAN_MS + round(starts_within_s(TCP) * 1000)
    assert after(*["refused"] * FAILURES_MAX, at_ms=over_ms).ready is False


def test_one_that_was_started_again_begins_anew() -> None:
    lost = after(None, *["refused"] * FAILURES_MAX)
    again = after(*["refused"] * 4, health=lost, began_ms=LATER_MS + 60_000, at_ms=LATER_MS + 61_000)
    assert again.ready is None


def test_a_long_run_of_which_nothing_is_known_yet_may_be_found_unready_at_once() -> None:
    assert after(*["refused"] * FAILURES_MAX).ready is False


@pytest.mark.parametrize(
    ("readiness", "every_s"),
    [
        (TCP, 2.0),
        (Readiness(HttpProbe(PortName("main"), "/"), interval_s=30.0), 30.0),
        (Readiness(ExecProbe(("true",)), interval_s=0.2), 5.0),
    ],
)
def test_what_runs_is_looked_at_at_its_interval_but_not_all_the_time(readiness: Readiness, every_s: float) -> None:
    assert look_every_s(readiness) == every_s
