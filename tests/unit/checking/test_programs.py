"""bin/check and bin/venv as somebody types them: whose tree or .venv it is not is told, and nothing is half made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = 65534


def run(*argv: str | Path, cwd: Path = ROOT, user: int | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{Path(sys.base_exec_prefix) / 'bin'}:/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False, user=user)


@pytest.fixture
def clone() -> Iterator[Path]:
    """Of what bin/venv looks at. Others may look into it, as into no folder of pytest's, and write nothing."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder, "clone")
        (root / "bin").mkdir(parents=True)
        shutil.copy(ROOT / "bin/venv", root / "bin")
        shutil.copy(ROOT / "pyproject.toml", root)
        yield root


def made(root: Path, python: str) -> Path:
    (root / ".venv/bin").mkdir(parents=True)
    path = root / ".venv/bin/python"
    path.write_text(f"#!/bin/sh\n{python}\n")
    path.chmod(0o755)
    return path


def test_nothing_is_run_where_only_the_selection_is_asked_for() -> None:
    done = run(ROOT / "bin/check", "--list", "migrate.py", cwd=ROOT / "ployz/plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("changed: ployz/plan/migrate.py\ntests that belong to it: ")
    assert "\n  named after it: tests/unit/plan/test_migrate.py\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("left out: tests of real parts")
    assert "passed" not in done.stdout


def test_a_path_that_is_not_there_is_refused_in_words() -> None:
    done = run(ROOT / "bin/check", "absent.py")
    assert done.returncode == 2
    assert done.stderr.startswith("error [usage]: there is no absent.py in ")


def test_the_python_that_it_would_take_is_new_enough() -> None:
    done = run(ROOT / "bin/venv", "--python")
    assert done.returncode == 0, done.stderr
    assert run(done.stdout.strip(), "-c", "import sys; sys.exit(sys.version_info < (3, 11))").returncode == 0


def test_a_venv_that_is_there_and_right_is_left_alone(clone: Path) -> None:
    made(clone, "exit 0")
    stamp = subprocess.run(["sha256sum", clone / "pyproject.toml"], capture_output=True, text=True, check=True).stdout
    (clone / ".venv/.ployz-setup").write_text(f"{stamp.strip()} --group dev\n")
    done = run(clone / "bin/venv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root can")
@pytest.mark.parametrize(
    ("python", "told"),
    [
        ("", "clone belongs to root"),  # there is no .venv yet
        ("exit 1", ".venv belongs to root"),  # made with a Python that this user has not
        ("exit 0", ".venv belongs to root"),  # of a pyproject.toml of before
    ],
)
def test_a_tree_or_venv_of_another_user_is_told_and_left_as_it_is(clone: Path, python: str, told: str) -> None:
    program = made(clone, python) if python else None
    done = run(clone / "bin/venv", user=NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error [not-allowed]: ")
    assert told in done.stderr
    assert program is None or program.exists()
    assert (clone / ".venv").exists() == (program is not None)
