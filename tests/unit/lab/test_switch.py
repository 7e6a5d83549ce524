import pytest

from ployz.errors import Refused
from ployz.ids import MachineId
from ployz.lab.state import Cut
from ployz.lab.switch import render_cuts, validate_rate

A, B = MachineId("machine-a"), MachineId("machine-b")


def test_a_cut_becomes_one_rule_that_drops() -> None:
    assert render_cuts([Cut(A, B)]).count("drop") == 1
    assert 'iifname "machine-a" oifname "machine-b" drop' in render_cuts([Cut(A, B)])


def test_no_cut_still_renders_the_table_so_that_earlier_rules_go() -> None:
    rendered = render_cuts([])
    assert "delete table bridge lab" in rendered
    assert "drop" not in rendered


def test_the_order_of_cuts_does_not_show() -> None:
    assert render_cuts([Cut(A, B), Cut(B, A)]) == render_cuts([Cut(B, A), Cut(A, B)])


@pytest.mark.parametrize("rate", ["500kbit", "10mbit", "1gbit", "800bit"])
def test_a_rate_as_tc_takes_it_is_taken(rate: str) -> None:
    assert validate_rate(rate) == rate


@pytest.mark.parametrize(
    "rate", ["", "bit", "mbit", "0mbit", "-1mbit", "10", "10mb", "10 mbit", "1.5mbit", "10kmbit", "10mbit\n"]
)
def test_anything_else_is_refused(rate: str) -> None:
    with pytest.raises(Refused):
        validate_rate(rate)
