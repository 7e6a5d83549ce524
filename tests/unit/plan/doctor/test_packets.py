"""Where large packets are lost: said once, of the machine that the lost ways have in common."""

from __future__ import annotations

from typing import Any

from ployz.ids import MachineId
from ployz.plan.packets import smaller
from ployz.plan.reports import PacketReport
from tests.unit.plan.doctor.examples import A, B, examined, found

C = MachineId("machine-c")


def loses(*machines: MachineId, sent: int = 1420, passed: int = 1328) -> dict[str, Any]:
    return {"packets": tuple(PacketReport(each, sent, passed) for each in machines)}


def test_a_machine_to_and_from_which_large_packets_are_lost_is_named_once_with_what_passes() -> None:
    (only,) = found(examined(A, **loses(B)), examined(B, **loses(A, C, passed=1312)), examined(C, **loses(B)))
    assert (only.kind, only.severity, only.machine) == ("packets-lost", "error", B)
    assert only.text == ("packets of 1420 bytes are lost between it and machine-a, machine-c: what is large hangs")
    assert only.remedy == "Those of 1312 bytes pass: ployzctl machine set machine-b mtu=1312"


def test_of_two_machines_the_one_that_came_later_is_to_send_less() -> None:
    (only,) = found(examined(A, **loses(B)), examined(B))
    assert only.machine == B


def test_a_machine_that_does_not_answer_for_itself_is_named_by_the_others() -> None:
    (only,) = found(examined(A, **loses(C)), examined(B, **loses(C)))
    assert only.machine == C


def test_where_not_even_what_ipv6_needs_passes_no_setting_helps() -> None:
    (only,) = found(examined(A, **loses(B, passed=0)), examined(B))
    assert only.text.endswith("what is large hangs, and so does what is 1280 bytes")
    assert "has to take packets of 1360 bytes" in only.remedy


def test_what_is_tried_goes_down_to_what_ipv6_needs() -> None:
    assert smaller(1420) == (1420, 1408, 1392, 1376, 1360, 1344, 1328, 1312, 1296, 1280)
    assert smaller(1328) == (1328, 1312, 1296, 1280)
    assert smaller(1280) == (1280,)
