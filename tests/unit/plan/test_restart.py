from __future__ import annotations

import pytest

from ployz.config import RESTART_DELAY_MAX_S
from ployz.manifest.model import Restart
from ployz.plan.restart import delay_s, should_restart


@pytest.mark.parametrize(
    ("policy", "after_success", "after_failure"),
    [("no", False, False), ("on-failure", False, True), ("always", True, True), ("unless-stopped", True, True)],
)
def test_a_policy_decides_by_the_exit_code(policy: Restart, after_success: bool, after_failure: bool) -> None:
    assert should_restart(policy, 0) is after_success
    assert should_restart(policy, 137) is after_failure


def test_pauses_double_up_to_a_maximum() -> None:
    assert [delay_s(failures) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_container_that_fails_for_days_is_still_given_a_pause() -> None:
    assert delay_s(100_000) == RESTART_DELAY_MAX_S
