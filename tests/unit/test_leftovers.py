"""What a command leaves behind fails it, and is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.leftovers import TIMED_OUT

REPOSITORY = Path(__file__).parents[2]
PROGRAM = "import sys; from tests import leftovers; leftovers.GRACE_S = 0.5; sys.exit(leftovers.main(sys.argv[1:]))"
"""What is left on purpose need not be waited for as long as what is ending by itself."""


def run(*command: str, deadline_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(deadline_s), *command],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("exit_code", [0, 5])
def test_a_command_that_leaves_nothing_ends_with_its_own_code(exit_code: int) -> None:
    assert run("sh", "-c", f"sleep 0.1 & exit {exit_code}").returncode == exit_code


def test_a_process_left_behind_fails_the_command_is_named_and_ended() -> None:
    done = run("sh", "-c", "setsid sleep 86399.5 >/dev/null 2>&1 & exit 0")
    assert done.returncode == 1
    assert "sleep 86399.5" in done.stderr
    pid = done.stderr.partition("left behind: process ")[2].partition(":")[0]
    assert not Path("/proc", pid).exists()


def test_a_process_that_died_is_gone_for_the_command_too() -> None:
    look = "pid=$(setsid sh -c 'sleep 0.1 >/dev/null & echo $!'); while [ -e /proc/$pid ]; do sleep 0.05; done"
    assert run("sh", "-c", look, deadline_s=20).returncode == 0


def test_a_file_left_behind_fails_the_command_and_is_named() -> None:
    done = run("mktemp")
    assert done.returncode == 1
    assert f"left behind: file {done.stdout}" in done.stderr
    assert not Path(done.stdout.strip()).exists()


def test_a_command_that_takes_too_long_is_interrupted() -> None:
    assert run("sleep", "86399.25", deadline_s=0.2).returncode == TIMED_OUT
