"""CONTRIBUTING.md is true: its commands are run, or read by the very program they are for, and its files are there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_LINES = [
    line.partition("  #")[0]
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
SHOWN = [line[2:].strip() for line in _LINES]
_INLINE = [each for each in re.findall(r"`([^`\n]+)`", PAGE) if each.startswith(("bin/", ".venv/"))]
COMMANDS = [each for each in dict.fromkeys([*SHOWN, *_INLINE]) if " " in each or each not in SHOWN]
WITHOUT_VENV = {"bin/test"}

IN_PART = {
    "bin/check": ["--list"],  # selects, and runs nothing
    "bin/sim": ["--help"],
    "bin/fuzz": ["--help"],
    "bin/test": ["--help"],
    "pytest": ["--collect-only", "--quiet"],
    "ruff": ["--diff"],
    "docs.generate": None,
    "ployz.cli.reference": [],
}
"""What is added to a command that takes long, starts tests in tests or writes: it still reads every word before it.
None: its module is looked for, and no more; tests/unit/test_reference.py runs what it does."""


def test_commands_are_shown_with_a_prompt() -> None:
    assert SHOWN
    assert [line for line in _LINES if not line.startswith(("$ ", "# "))] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_is_understood_by_its_program(command: str) -> None:
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    argv = words[len(variables) :]
    program = argv[0] if argv[0].startswith("bin/") else argv[3] if argv[:3] == PYTHON else Path(argv[0]).name
    assert program in {*IN_PART, "bin/lab"}, f"say in IN_PART how {program} is tried"
    added = ["--help"] if "--measure" in argv else IN_PART.get(program, [])  # it runs every test
    if added is None:
        assert (ROOT / f"{program.replace('.', '/')}.py").exists()
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PLOYZ_", "PYTEST_"))}
    done = subprocess.run(
        [*argv, *added],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]


PYTHON = [".venv/bin/python", "-P", "-m"]


def test_every_file_and_folder_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:ployz|tests|docs|bin)/[\w./-]+)`", PAGE)
    assert len(named) > 50
    assert [each for each in dict.fromkeys(named) if not (ROOT / each).exists()] == []


def test_the_first_hour_is_eight_files_that_can_be_read_in_an_hour() -> None:
    section = PAGE.partition("## The first hour")[2].partition("\n## ")[0]
    files = re.findall(r"^\d\. `([^`]+)`", section, re.MULTILINE)
    assert len(files) == 8
    assert sum(len((ROOT / each).read_text(encoding="utf-8").splitlines()) for each in files) < 2_500


@pytest.mark.parametrize(
    "recipe",
    [
        "An event",
        "A message",
        "An effect",
        "A port's method",
        "A command",
        "A key of the manifest",
        "A check of the sim",
    ],
)
def test_there_is_a_recipe_that_names_its_files(recipe: str) -> None:
    section = PAGE.partition(f"### {recipe}")[2].partition("\n### ")[0]
    assert len(re.findall(r"`(?:ployz|tests|docs)/[\w./-]+`", section)) >= 3
