"""Every mutant is caught, for its own reason, and by runs with which nothing is wrong without its bug."""

from __future__ import annotations

import re

import pytest

from tests.sim.cli import told
from tests.sim.mutants.catalog import MUTANTS
from tests.sim.report import Report
from tests.sim.workers import Job, Run, play

TRIES = 3


@pytest.fixture(scope="module")
def reports() -> dict[Run, Report]:
    """All at once: a worker prepares a cluster once for all who begin with it."""
    found: dict[Run, Report] = {}
    runs = [Run(number, name, sound) for name in MUTANTS for number in range(TRIES) for sound in (False, True)]
    play(Job(runs), found.__setitem__)
    return found


def test_there_are_at_least_fifteen() -> None:
    assert len(MUTANTS) >= 15


@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_caught(name: str, reports: dict[Run, Report]) -> None:
    wrong = [each for number in range(TRIES) for each in reports[Run(number, name)].wrong]
    assert any(re.search(MUTANTS[name].shows, each) for each in wrong), wrong or "nothing was found to be wrong"


@pytest.mark.parametrize("name", MUTANTS)
def test_nothing_is_wrong_without_it(name: str, reports: dict[Run, Report]) -> None:
    for number in range(TRIES):
        report = reports[Run(number, name, sound=True)]
        assert not report.wrong, told(report)
