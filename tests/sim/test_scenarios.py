"""A fixed set of simulated runs: whatever strikes them, nothing is ever wrong. And they do exercise something."""

from __future__ import annotations

import os
from typing import get_args

import pytest

from tests.sim.cli import Tally, told
from tests.sim.faults import Fault
from tests.sim.report import Report
from tests.sim.scenario import draw
from tests.sim.workers import Job, Run, play, seeds

RUNS = int(os.environ.get("PLOYZ_SIM_RUNS", "2000"))
"""A part of them is no other selection each time: it is the first so many seeds."""
KINDS = {each.__name__ for each in get_args(Fault)}


@pytest.fixture(scope="module")
def tally() -> Tally:
    found = Tally()
    play(Job(seeds(range(RUNS))), found.take)
    print(found)  # noqa: T201 - what was played is worth knowing when it fails
    return found


def test_nothing_is_wrong_with_any_of_them(tally: Tally) -> None:
    assert not tally.wrong, "\n\n".join(told(each) for each in tally.wrong[:3])
    assert tally.runs == RUNS


def test_operations_are_committed_and_aborted_and_every_kind_of_fault_strikes(tally: Tally) -> None:
    assert tally.committed > RUNS // 8
    assert tally.aborted > RUNS // 8
    assert tally.acknowledged > 20 * RUNS
    assert {kind for kind in KINDS if tally.struck[kind] > RUNS // 300} == KINDS


def test_one_seed_is_one_story_in_any_process() -> None:
    stories: dict[int, list[Report]] = {}

    def take(run: Run, report: Report) -> None:
        stories.setdefault(run.seed, []).append(report)

    chosen = [seed for seed in range(60) if len(draw(seed).faults.faults) > 1][:6]
    play(Job(seeds(chosen), tell=True), take, processes=1)
    play(Job(seeds(chosen[::-1]), tell=True), take, processes=2)
    assert sorted(stories) == chosen
    for first, second in stories.values():
        assert first == second
        assert first.story
