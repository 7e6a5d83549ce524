"""The crash runner's own judgement: what is a lost write, how long nobody answered, and that no case is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.lab.crash import table
from ployz.lab.crash.case import Outcome
from ployz.lab.crash.faults import LONG_S, FaultCase, all_faults
from ployz.lab.crash.journal import Journal
from ployz.lab.crash.look import Dataset, parse
from ployz.lab.crash.matrix import Case, Role
from ployz.lab.crash.record import Record
from ployz.lab.crash.selection import AnyCase, in_order, one_each
from ployz.plan.effects import Phase

S = 1_000_000
KILL = Case(Role.SOURCE, Role.TARGET, "after/append/vote.cast:1")
WELL = Outcome("source", "kill of target", "at after/append/vote.cast:1", "committed", 5.0, 1.5, 1000)
BADLY = Outcome("third", "power cut of source", "in commit", "aborted", 60.0, 9.0, 234, "two run")


def record(tmp_path: Path, text: str) -> Record:
    ledger = tmp_path / "answers"
    ledger.write_text(text)
    return Record(ledger, [])


def test_a_number_that_is_answered_twice_is_a_lost_write(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="7 was answered after 8"):
        record(tmp_path, f"7 {S}\n8 {2 * S}\n7 {3 * S}\n").check(0)


def test_writes_without_an_answer_may_be_there_or_not(tmp_path: Path) -> None:
    record(tmp_path, f"7 {S}\n9 {2 * S}\n10 {3 * S}\n1").check(0)


def test_the_gap_counts_from_the_beginning_and_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    found = record(tmp_path, f"7 {4 * S}\n8 {5 * S}\n9 6")
    found.read()
    assert found.longest_gap_s(1 * S, 6 * S) == 3.0
    assert found.longest_gap_s(1 * S, 9 * S) == 4.0  # and it has not ended
    with found.ledger.open("a") as file:
        file.write("000000\n")
    found.read()
    assert found.writes == [(7, 4 * S), (8, 5 * S), (9, 6 * S)]


POINTS = [
    f"{when}/append/{name}:{time}"
    for name in ("vote.cast", "volume.sent", "operation.finished")
    for when in ("before", "after")
    for time in (1, 2, 3)
]
KILLS: list[AnyCase] = [
    Case(coordinator, victim, point)
    for coordinator in Role
    for victim in Role
    for point in POINTS
    if victim is coordinator or "operation.finished" not in point
]


def test_all_cases_are_tried_once_those_that_take_long_first() -> None:
    cases = [*KILLS, *all_faults()]
    found = in_order(cases)
    assert sorted(map(str, found)) == sorted(map(str, cases))
    held_s = [each.fault.held_s if isinstance(each, FaultCase) else 0.0 for each in found]
    longest = sum(each == LONG_S for each in held_s)
    assert held_s[:longest] == [LONG_S] * longest


@pytest.mark.parametrize("commit", ["abc1234", "def5678", ""])
def test_each_step_of_each_role_and_each_kind_of_fault_is_one_case_that_the_commit_decides(commit: str) -> None:
    cases = [*KILLS, *all_faults()]
    chosen = one_each(cases, commit)
    kills = sorted((each.victim, each.point.split("/")[2].split(":")[0]) for each in chosen if isinstance(each, Case))
    finished = [each for each in chosen if "operation.finished" in str(each)]
    assert len(finished) == 1
    assert [each for each in kills if each[1] != "operation.finished"] == sorted(
        (role, name) for role in Role for name in ("volume.sent", "vote.cast")
    )
    kinds = [each.fault.kind for each in chosen if isinstance(each, FaultCase)]
    assert sorted(kinds) == sorted({each.fault.kind for each in all_faults()})
    assert not any(str(each).endswith(":3") for each in chosen)
    assert sorted(map(str, one_each(cases[::-1], commit))) == sorted(map(str, chosen))


def test_other_commits_try_other_cases() -> None:
    chosen = [set(map(str, one_each([*KILLS, *all_faults()], f"commit {number}"))) for number in range(400)]
    assert set.union(*chosen) == {str(each) for each in [*KILLS, *all_faults()] if not str(each).endswith(":3")}


def test_the_page_says_what_happened_in_each_case() -> None:
    page = table.document([WELL, BADLY], 305, "abc1234")
    assert "at commit abc1234:\n2 of 305 cases." in page
    assert "2 cases, 2 reached: 1 in order, 1 not; 1234 writes acknowledged" in page
    assert "| source | kill of target | `after/append/vote.cast:1` | committed | 5.0 | 1.5 |" in page
    assert "| third | power cut of source | in commit | two run | 60.0 | 9.0 |" in page


def test_what_was_tried_is_known_to_the_next_run_of_the_same_commit_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.begin("abc1234", again=False)
    journal.expect(305)
    for each in (WELL, BADLY):
        journal.add(each)
    Journal(tmp_path / "journal").begin("abc1234", again=False)
    assert (journal.outcomes(), journal.expected()) == ([WELL, BADLY], 305)
    assert journal.done() == {str(KILL), "third coordinates, power cut of source in commit"}
    journal.begin("abc1234", again=True)
    assert journal.done() == frozenset()
    journal.add(WELL)
    journal.begin("def5678", again=False)
    assert journal.done() == frozenset()


def test_no_two_labs_take_the_same_case_and_one_that_was_never_ended_is_known(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.begin("abc1234", again=False)
    assert [Journal(tmp_path / "journal").claim(each) for each in ("one", "one", "two", WELL.name)] == [
        True,
        False,
        True,
        True,
    ]
    journal.add(WELL)
    assert journal.unfinished() == {"one", "two"}
    journal.begin("abc1234", again=False)  # given again: what was only begun is tried
    assert [journal.claim(each) for each in ("one", WELL.name)] == [True, False]


def test_a_case_that_failed_is_said_with_the_command_that_tries_it_alone() -> None:
    assert "\n  alone: bin/crash --again --points 'third coordinates, power cut of source in commit'" in table.summary(
        [WELL, BADLY]
    )


def test_each_fault_is_one_case_with_a_name_of_its_own() -> None:
    cases = all_faults()
    assert len({str(each) for each in cases}) == len(cases)
    for phase in (phase for phase in Phase if phase is not Phase.START):
        words = [each.what for each in cases if each.phase == phase]
        for role in Role:
            assert f"power cut of {role}" in words
        assert "power cut of source and target" in words
        assert sum("alone" in each for each in words) >= 6


LOOK = """
== containers
running
== leases
== guards
== datasets
tank\toff\tno\t-
tank/ployz/crash/data\toff\tyes\t-
tank/ployz/crash/data@op-1.final\ton\t-\t1
== doors
== elsewhere
10.211.0.2/32
10.210.0.1/32
fd00::1/128
== routes
10.210.0.1 scope link
10.211.0.0/16 dev ployz0
== neighbours
"""


def test_a_look_says_what_is_there_and_how_often_an_address_is_elsewhere() -> None:
    found = parse(LOOK, ["10.210.0.1", "fd00::1", "10.210.0.9"])
    assert (found.containers, found.leases, found.guards, found.doors) == (["running"], [], [], [])
    assert found.datasets["tank/ployz/crash/data"] == Dataset("off", "yes", 0)
    assert found.datasets["tank/ployz/crash/data@op-1.final"].holds == 1
    assert found.routes_to == {"10.210.0.1": 2, "fd00::1": 1, "10.210.0.9": 0}
