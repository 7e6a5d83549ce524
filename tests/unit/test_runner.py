"""What bin/test runs and says: which parts, in which lanes, what an ended command came to, and what was left behind."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.runner.cli import main, run, summary, told
from tests.runner.lanes import Lanes, Outcome, judged
from tests.runner.parts import DEFAULT, ON_DEMAND, PARTS, PYTHON, ROOT, Lane, Part, Step, chosen

SUITE = Step("unit", ("pytest",), suite=True)
CHECK = Step("lint", ("ruff",))
DEADLINE_S = 30.0


def program(name: str, text: str, *, suite: bool = False) -> Step:
    return Step(name, (*PYTHON, "-c", text), suite=suite)


# ---------------------------------------------------------------- which


def test_every_folder_with_tests_is_a_part_of_the_default_run_or_on_demand() -> None:
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    by_default = {word for part in DEFAULT for step in part.steps for word in step.argv}
    on_demand = {word for part in ON_DEMAND for step in part.steps for word in step.argv}
    assert {folder for folder in folders if f"tests/{folder}" not in by_default} == {"openzfs"}
    assert "tests/openzfs" in on_demand


def test_the_same_words_choose_the_same_parts_each_once() -> None:
    assert chosen([]) == DEFAULT
    assert [part.name for part in chosen(["golden", "quick", "golden"])] == [
        "golden",
        "unit",
        "fuzz",
        "sim-part",
        "contracts-fakes",
    ]


def test_what_follows_the_dashes_is_for_pytest_alone() -> None:
    static, unit = chosen(["static", "unit"], ["-k", "vote"])
    assert all("vote" not in step.argv for step in static.steps)
    assert unit.steps[0].argv[-3:] == ("tests/unit", "-k", "vote")


def test_nothing_that_may_be_asked_for_lacks_a_line_in_the_help() -> None:
    assert all(f"\n  {name} " in told() for name in PARTS)


def test_a_part_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unti"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error [usage]: there is no part 'unti'\n")
    assert "unit, golden" in said


# ---------------------------------------------------------------- what it came to


@pytest.mark.parametrize(
    ("exit_code", "output", "passed", "failed"),
    [
        (0, "....\n3,382 tests\n1382 passed, 2 skipped in 12.30s\n", 1382, 0),
        (1, "FAILED x\n1 failed, 3 passed, 1 error in 2.00s (0:00:02)\n", 3, 2),
        (1, "1 failed, 3 passed, 2 errors in 2.00s\n", 3, 3),
        (1, "4 passed in 2.00s\nleft behind: process 7: sleep\n", 4, 1),
        (124, "not done within 3 s: interrupted\n", 0, 1),
        (0, "no tests ran in 0.01s\n", 0, 1),
        (5, "7 deselected in 0.01s\n", 0, 1),
    ],
)
def test_a_suite_is_counted_by_its_closing_line(exit_code: int, output: str, passed: int, failed: int) -> None:
    found = judged(SUITE, exit_code, output, 1.0)
    assert (found.passed, found.failed) == (passed, failed)


def test_a_check_passes_or_fails_whatever_it_prints() -> None:
    assert judged(CHECK, 0, "7 failed in 1 s", 1.0).failed == 0
    assert judged(CHECK, 1, "7 passed in 1 s", 1.0).failed == 1


def test_what_was_skipped_is_told_with_its_part_and_what_is_left_behind_is_a_failure_above_the_last_line() -> None:
    outcome = judged(SUITE, 0, "SKIPPED [1] tests/x.py:3: no zfs\n1 passed, 1 skipped in 0.1s\n", 1.0)
    lines = summary([outcome, Outcome("lint", 2.0, 1, 0, suite=False)], ["mount /x"], 3.4).splitlines()
    assert "unit: [1] tests/x.py:3: no zfs" in lines
    assert "mount /x" in lines
    assert lines[-1] == "2 passed, 1 failed"


# ---------------------------------------------------------------- running


def test_lanes_run_beside_each_other_and_the_parts_of_one_lane_in_turn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = tmp_path / "meeting"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(meeting)!r}).exists(): time.sleep(0.01)"
    comes = f"import pathlib; pathlib.Path({str(meeting)!r}).touch(); print('1 passed in 0.1s')"
    lanes = Lanes(tmp_path, DEADLINE_S)
    lanes.run(
        [
            Part("waits", "", Lane.LABS, (program("waits", waits),)),
            Part("fails", "", Lane.LABS, (program("fails", "print('oh'); raise SystemExit(3)"),)),
            Part("comes", "", Lane.CRASH, (program("comes", comes, suite=True),)),
        ]
    )
    names = [outcome.step for outcome in lanes.outcomes]
    assert names.index("waits") < names.index("fails")
    assert {outcome.step: (outcome.passed, outcome.failed) for outcome in lanes.outcomes} == {
        "waits": (1, 0),
        "fails": (0, 1),
        "comes": (1, 0),
    }
    assert "\noh\n" in capsys.readouterr().out


def test_a_command_that_hangs_is_interrupted_and_fails(tmp_path: Path) -> None:
    lanes = Lanes(tmp_path, 1.0)
    lanes.run([Part("hangs", "", Lane.LABS, (program("hangs", "import time; time.sleep(60)"),))])
    (outcome,) = lanes.outcomes
    assert outcome.failed == 1
    assert outcome.took_s < DEADLINE_S


def test_an_interrupted_run_interrupts_what_runs_and_begins_nothing_more(tmp_path: Path) -> None:
    begun, unwound = tmp_path / "begun", tmp_path / "unwound"
    text = (
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
        f"try: time.sleep(60)\nexcept KeyboardInterrupt: pathlib.Path({str(unwound)!r}).touch()"
    )
    parts = [Part("long", "", Lane.LABS, (program("long", text), program("never", "print()")))]

    def interrupt() -> None:
        end_s = time.monotonic() + DEADLINE_S
        while not begun.exists() and time.monotonic() < end_s:
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    lanes = Lanes(tmp_path, DEADLINE_S)
    hand = threading.Thread(target=interrupt)
    hand.start()
    with pytest.raises(KeyboardInterrupt):
        lanes.run(parts)
    hand.join()
    assert unwound.exists()
    assert [outcome.step for outcome in lanes.outcomes] == ["long"]


def test_a_run_says_what_ran_and_counts_in_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    well = Part("well", "", Lane.LABS, (program("well", "print('2 passed in 0.1s')", suite=True),))
    badly = Part("badly", "", Lane.CRASH, (program("badly", "print('1 failed in 0.1s'); exit(1)", suite=True),))
    assert run([well]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 0 failed"
    assert run([well, badly]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 1 failed"
