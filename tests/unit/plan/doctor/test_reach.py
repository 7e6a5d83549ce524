"""Who is not reached: decided once for all machines that looked, and told of once."""

from __future__ import annotations

from typing import Any

import pytest

from ployz.errors import Code, Problem
from ployz.ids import MachineId, SlotRef
from ployz.plan.doctor.readings import (
    HANDSHAKE_OLD_MS,
    ContestReading,
    FailedLook,
    Look,
    NameReading,
    PeerReading,
    ReachReading,
    UnreachedReading,
)
from tests.unit.plan.doctor.examples import A, B, examined, found, kinds

C = MachineId("machine-c")
WEB = SlotRef.parse("production/web/slot-1")
REFUSED = "10.210.1.2:8080: Connection refused"
LATE = "10.210.1.2:8080 did not accept within 2 s"


def sees(*slots: SlotRef, why: str = REFUSED, untold: int = 0) -> dict[str, Any]:
    return {"reach": ReachReading(tuple(UnreachedReading(slot, why) for slot in slots), untold)}


def test_a_slot_that_nobody_reaches_is_one_finding_of_its_machine() -> None:
    everybody = [examined(A, **sees(WEB)), examined(B, **sees(WEB), serving=(WEB,)), examined(C, **sees(WEB))]
    (only,) = found(*everybody)
    assert (only.kind, only.severity, only.machine) == ("slot-unreached", "error", B)
    assert only.text == f"{WEB} is reached from no machine: {REFUSED}"
    assert "ployzctl service logs production/web --slot slot-1" in only.remedy


def test_one_that_some_do_not_reach_names_them() -> None:
    some = [examined(A, **sees(WEB, why=LATE)), examined(B, **sees(), serving=(WEB,)), examined(C, **sees(WEB))]
    (only,) = found(*some)
    assert only.text == f"{WEB} is not reached from machine-a, machine-c: {LATE}; {REFUSED}"
    assert "firewall" in only.remedy


@pytest.mark.parametrize("looker", [sees(), {}], ids=["reaches it", "did not look"])
def test_what_everybody_reaches_who_looked_is_no_finding(looker: dict[str, Any]) -> None:
    assert found(examined(A, **looker), examined(B, **sees(), serving=(WEB,))) == ()


def test_what_its_own_machine_does_not_say_to_be_in_order_has_another_finding_or_is_on_its_way() -> None:
    assert found(examined(A, **sees(WEB)), examined(B, **sees(WEB))) == ()


@pytest.mark.parametrize("spoiled", [A, B])
@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ({"contests": (ContestReading("rules", ("FORWARD",), 0, 0, 0),)}, "taken-away-rules"),
        ({"failed": (FailedLook(Look.OVERLAY, Problem(Code.TIMED_OUT, "too slow")),)}, "look-failed"),
    ],
)
def test_a_machine_whose_overlay_is_spoiled_is_told_of_once(spoiled: MachineId, cause: Any, kind: str) -> None:
    looks: dict[MachineId, dict[str, Any]] = {A: sees(WEB), B: sees() | {"serving": (WEB,)}}
    looks[spoiled] |= cause
    assert kinds(*(examined(machine, **said) for machine, said in looks.items())) == [("error", kind, spoiled)]


def test_two_that_shook_no_hands_are_told_of_once() -> None:
    strangers = examined(A, **sees(WEB), peers=(PeerReading(B, HANDSHAKE_OLD_MS),))
    assert kinds(strangers, examined(B, **sees(), serving=(WEB,))) == [("error", "handshake-old", A)]


def test_many_of_one_machine_are_summarised() -> None:
    slots = tuple(SlotRef.parse(f"production/web-{number:03}/slot-1") for number in range(100))
    lines = found(examined(A, **sees(*slots)), examined(B, **sees(), serving=slots))
    assert len(lines) == 6
    assert lines[-1].text == (
        "95 more slots are not reached from machine-a, of production/web-005, production/web-006, "
        "production/web-007, production/web-008, production/web-009 and 90 more services"
    )


def test_what_there_was_no_time_for_is_said() -> None:
    assert kinds(examined(A, **sees(untold=7))) == [("warning", "reach-unknown", A)]


def test_names_that_are_answered_wrongly_are_told_with_what_they_should_be() -> None:
    wrong = tuple(NameReading(f"n{number}.ployz.internal", (), ("10.0.0.1", "10.0.0.2")) for number in range(9))
    lines = found(examined(B, names=wrong))
    assert {(each.kind, each.machine) for each in lines} == {("name-wrong", B)}
    assert len(lines) == 6
    assert lines[0].text == "its name server answers nothing for n0.ployz.internal, and not 10.0.0.1, 10.0.0.2"
    assert lines[-1].text == "its name server answers 4 more names otherwise than the facts have them"
