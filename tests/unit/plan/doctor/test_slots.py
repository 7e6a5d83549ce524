from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from ployz.errors import Code, Problem
from ployz.ids import SlotRef
from ployz.plan.doctor.findings import UNSETTLED_MS
from ployz.plan.doctor.readings import UnsettledReading
from ployz.plan.doctor.slots import LOOP_RESTARTS, ON_ITS_WAY_MS, SeenSlot, of_slot
from tests.unit.plan.doctor.examples import NOW_MS, A, examined, found

WELL = SeenSlot(
    slot=SlotRef.parse("production/db/slot-1"),
    there=True,
    running=True,
    paused=False,
    unready=False,
    exit_code=None,
    why="",
    since_ms=NOW_MS - 60_000,
    restarts_lately=0,
    policy="unless-stopped",
)
ENDED = {"running": False, "exit_code": 3}


def kinds(**changed: Any) -> list[str]:
    return [each.kind for each in of_slot(evolve(WELL, **changed), NOW_MS)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"restarts_lately": LOOP_RESTARTS - 1}, []),
        ({"there": False, "running": False}, []),  # told of with all that others took away
        ({"there": False, **ENDED}, []),
        ({"there": False, **ENDED, "policy": "no"}, ["exited"]),
        ({"there": False, "running": False, "exit_code": 0, "policy": "on-failure"}, []),
        ({"paused": True, "unready": True}, ["paused"]),
        ({"unready": True, "why": "refused"}, ["unready"]),
        ({"restarts_lately": LOOP_RESTARTS}, ["crash-loop"]),
        ({**ENDED, "restarts_lately": LOOP_RESTARTS}, ["crash-loop"]),
        (ENDED, ["exited"]),
        ({**ENDED, "since_ms": NOW_MS - ON_ITS_WAY_MS + 1}, []),
        ({**ENDED, "since_ms": NOW_MS - ON_ITS_WAY_MS + 1, "why": "no such image"}, ["exited"]),
        ({**ENDED, "policy": "no"}, ["exited"]),
        ({"running": False, "exit_code": 0, "policy": "no"}, []),
        ({"running": False, "exit_code": 0, "policy": "on-failure"}, []),
        ({"running": False, "exit_code": None}, ["exited"]),
    ],
)
def test_a_slot_that_should_run_and_does_not_is_told_of_once(changed: dict[str, Any], expected: list[str]) -> None:
    assert kinds(**changed) == expected


def test_a_trouble_is_an_error_that_names_the_slot_and_says_what_to_do() -> None:
    (trouble,) = of_slot(evolve(WELL, unready=True, why="GET / answered 500"), NOW_MS)
    (finding,) = found(examined(A, slots=(trouble,)))
    assert (finding.severity, finding.kind, finding.machine) == ("error", "slot-unready", A)
    assert finding.text == "production/db/slot-1 runs, and has not been ready for 60 s: GET / answered 500"
    assert finding.remedy == "Look why: ployzctl service logs production/db --slot slot-1"


def test_what_cannot_be_settled_is_told_of_once_with_the_reason() -> None:
    (trouble,) = of_slot(evolve(WELL, running=False), NOW_MS)
    why = Problem(Code.DOCKER_FAILED, "Docker could not start it: no space left")
    late, lately = (UnsettledReading("service production/db", age_ms, why) for age_ms in (UNSETTLED_MS, 1_000))
    assert [each.kind for each in found(examined(A, slots=(trouble,), unsettled=(late,)))] == ["unsettled"]
    assert [each.kind for each in found(examined(A, slots=(trouble,), unsettled=(lately,)))] == ["slot-exited"]
