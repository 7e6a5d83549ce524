"""`doctor` and `cluster upgrade-check`: what they print, and how they end."""

from __future__ import annotations

from typing import Any

import pytest

from ployz import __version__
from ployz.actors.messages.doctor import Diagnose, Diagnosis, ListVersions, Versions
from ployz.errors import Code, Problem
from ployz.events.codec import CODEC
from ployz.ids import MachineId
from ployz.plan.doctor.findings import Finding, Severity
from ployz.plan.doctor.versions import Speaker, Spoken
from ployz.wire.message import Message
from ployz.wire.session import PROTOCOL_VERSION
from tests.unit.cli.terminal import Answer, golden, ployzctl

A, B = MachineId("machine-a"), MachineId("machine-b")
WELL = Diagnosis((A, B), ())
ILL = Diagnosis(
    (A, B),
    (
        Finding(Severity.ERROR, "machine-silent", B, "it does not answer: no route", "Look whether it is on."),
        Finding(Severity.WARNING, "versions-differ", None, "they differ", "ployzctl cluster upgrade-check"),
        Finding(Severity.WARNING, "pool-nearly-full", A, "pool tank has 12% of its 100 MiB free", "Free space."),
    ),
)
SAME = Spoken(__version__, PROTOCOL_VERSION, CODEC.newest)


@pytest.mark.parametrize(("name", "found", "exit_code"), [("doctor", ILL, 1), ("doctor-well", WELL, 0)])
def test_findings_are_lines_for_people_and_values_for_scripts(name: str, found: Diagnosis, exit_code: int) -> None:
    answers: dict[type[Message[Any]], Answer] = {Diagnose: found}
    people = ployzctl("doctor", answers=answers)
    assert people.exit_code == exit_code
    golden(f"{name}.txt", people.out + people.err)
    scripts = ployzctl("--json", "doctor", answers=answers)
    assert scripts.exit_code == exit_code
    assert scripts.lines[0]["ok"] is (exit_code == 0)
    golden(f"{name}.jsonl", scripts.out)


def test_doctor_alone_is_doctor_examine_and_help_is_still_help() -> None:
    answers: dict[type[Message[Any]], Answer] = {Diagnose: WELL}
    assert ployzctl("doctor", answers=answers).asked == ployzctl("doctor", "examine", answers=answers).asked
    assert ployzctl("doctor", "--help").out.startswith("usage: ployzctl doctor COMMAND")
    assert ployzctl("doctor", "examin").exit_code == 2
    assert ployzctl("machine").exit_code == 2


def test_versions_that_can_work_together_are_listed_with_this_ployzctl() -> None:
    ended = ployzctl("cluster", "upgrade-check", answers={ListVersions: Versions((Speaker(A, SAME, None),))})
    assert (ended.exit_code, ended.err) == (0, "")
    rows = [line.split()[:2] for line in ended.out.splitlines()[1:3]]
    assert rows == [["machine-a", __version__], ["this", "ployzctl"]]
    assert ended.out.endswith("all of them can work together\n")


def test_versions_that_cannot_are_said_and_end_with_1() -> None:
    newer = Spoken("9.0.0", PROTOCOL_VERSION, (*SAME.events, "pool.grew/1"))
    silent = Speaker(B, None, Problem(Code.MACHINE_UNREACHABLE, "no answer"))
    answers: dict[type[Message[Any]], Answer] = {ListVersions: Versions((Speaker(A, newer, None), silent))}
    ended = ployzctl("--json", "cluster", "upgrade-check", answers=answers)
    assert ended.exit_code == 1
    assert ended.lines[0]["code"] == "versions-differ"
    assert ended.err.startswith("error [versions-differ]: machine-b does not say what it speaks: no answer; ")
    assert "this ployzctl does not know pool.grew/1" in ended.err
