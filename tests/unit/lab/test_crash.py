"""The crash runner's own judgement: what is a lost write, how long nobody answered, and that no case is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.lab.crash import table
from ployz.lab.crash.case import Outcome
from ployz.lab.crash.cli import in_todays_order
from ployz.lab.crash.matrix import Case, Role
from ployz.lab.crash.record import Record

S = 1_000_000


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
    assert found.longest_gap_s(1 * S) == 3.0
    with found.ledger.open("a") as file:
        file.write("000000\n")
    found.read()
    assert found.writes == [(7, 4 * S), (8, 5 * S), (9, 6 * S)]


def test_every_case_comes_once_whatever_the_day() -> None:
    cases = [Case(Role.SOURCE, Role.TARGET, f"before/append/x:{number}") for number in range(74)]
    for today in (0, 1, 20_000):
        assert sorted(map(str, in_todays_order(cases, today))) == sorted(map(str, cases))
    assert in_todays_order(cases, 1)[0] != in_todays_order(cases, 2)[0]


def test_the_page_says_what_happened_in_each_case() -> None:
    well = Outcome(Case(Role.SOURCE, Role.TARGET, "after/append/vote.cast:1"), "committed", 5.0, 1.5)
    badly = Outcome(Case(Role.THIRD, Role.SOURCE, "phase/commit:1"), "aborted", 60.0, 9.0, "two run")
    page = table.document([well, badly], 1234, 305, "abc1234")
    assert "at commit abc1234:\n2 of 305 cases." in page
    assert "2 kills: 1 recovered, 1 not; 1234 writes acknowledged" in page
    assert "| source | target | `after/append/vote.cast:1` | committed | 5.0 | 1.5 |" in page
    assert "| third | source | `phase/commit:1` | two run | 60.0 | 9.0 |" in page
