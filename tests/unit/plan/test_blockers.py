from __future__ import annotations

from ployz.errors import Code, Problem
from ployz.plan.blockers import Blockers


def test_a_thing_is_told_once_and_in_the_order_in_which_it_was_found() -> None:
    first = Problem(Code.NO_SPACE, "full", "free some")
    found = Blockers([first])
    found.add(Code.DATASET_BUSY, "busy")
    found.add(Code.NO_SPACE, "full", "free some")
    assert found.all() == (first, Problem(Code.DATASET_BUSY, "busy"))
