from pathlib import Path

import pytest

from ployz.errors import Refused
from ployz.ids import MachineId
from ployz.lab import state
from ployz.lab.state import Cut, LabState, machine_name

A, B = MachineId("machine-a"), MachineId("machine-b")


def lab(count: int = 2) -> LabState:
    return LabState(subnet=1).grown_to(count)


def test_machines_are_named_by_letters_and_then_by_two() -> None:
    names = [machine_name(index) for index in (0, 25, 26, 27, 51, 52)]
    assert names == ["machine-a", "machine-z", "machine-aa", "machine-ab", "machine-az", "machine-ba"]


def test_every_machine_has_a_name_of_its_own_that_fits_an_interface() -> None:
    names = {machine_name(index) for index in range(state.MACHINES_MAX)}
    assert len(names) == state.MACHINES_MAX
    assert max(map(len, names)) <= 15


def test_an_address_stays_when_the_lab_grows() -> None:
    assert lab(2).address(B) == lab(9).address(B) == "10.77.1.2"
    assert lab(2).endpoint(B) == "10.77.1.2:51820"


def test_a_lab_never_shrinks() -> None:
    assert lab(3).grown_to(1) == lab(3)


def test_an_unknown_machine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Refused) as refusal:
        lab().require("machine-x")
    assert refusal.value.problem.advice == "Its machines: machine-a, machine-b."


def test_a_cut_goes_both_ways_unless_told_otherwise() -> None:
    assert lab().cut(A, B, one_way=False).cuts == {Cut(A, B), Cut(B, A)}
    assert lab().cut(A, B, one_way=True).cuts == {Cut(A, B)}


def test_healing_a_pair_heals_both_ways_and_no_other_pair() -> None:
    third = MachineId("machine-c")
    cut = lab(3).cut(A, B, one_way=False).cut(A, third, one_way=True)
    assert cut.healed(B, A).cuts == {Cut(A, third)}
    assert cut.all_healed().cuts == frozenset()


def test_a_lifted_limit_leaves_the_other_ones() -> None:
    limited = lab().limited(A, "10mbit").limited(B, "1gbit").limited(A, None)
    assert limited.limits == {B: "1gbit"}


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = lab(3).cut(A, B, one_way=True).limited(B, "10mbit")
    state.save(tmp_path, saved)
    assert state.load(tmp_path) == saved


def test_a_folder_without_a_state_has_none(tmp_path: Path) -> None:
    assert state.load(tmp_path) is None


def test_a_second_lab_gets_another_subnet_and_a_removed_one_frees_its_own(tmp_path: Path) -> None:
    for name, subnet in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        assert state.free_subnet(tmp_path) == subnet
        state.save(tmp_path / name, LabState(subnet))
    (tmp_path / "one" / "state.json").unlink()
    assert state.free_subnet(tmp_path) == 1
