"""The crash runner's own judgement: what is a lost write, how long nobody answered, and that no case is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.lab.crash import table
from ployz.lab.crash.case import Outcome
from ployz.lab.crash.cli import todays
from ployz.lab.crash.faults import all_faults
from ployz.lab.crash.journal import Journal
from ployz.lab.crash.look import Dataset, parse
from ployz.lab.crash.matrix import Case, Role
from ployz.lab.crash.record import Record
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


def test_every_case_comes_once_in_three_days_whatever_the_first_is() -> None:
    cases = [Case(Role.SOURCE, Role.TARGET, f"before/append/x:{number}") for number in range(74)]
    for first in (0, 1, 20_000):
        days = [todays(cases, first + day, 3) for day in range(3)]
        assert sorted(str(each) for day in days for each in day) == sorted(map(str, cases))
        assert min(map(len, days)) > len(cases) / 6
    assert sorted(map(str, todays(cases, 7, 1))) == sorted(map(str, cases))
    assert todays(cases, 1, 1)[0] != todays(cases, 2, 1)[0]


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
