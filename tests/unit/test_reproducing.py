"""What failed is run alone with the two lines that a run says at its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reproducing import MOST, lines, told

ROOT = Path(__file__).parents[2]
NODE = "tests/unit/plan/test_x.py::test_it[a b's]"


def test_a_test_on_fakes_needs_nothing() -> None:
    assert lines(NODE, {"test_it"}, {"HOME": "/root"}) == (
        "bin/check tests/unit/plan/test_x.py",
        "PYTHONPATH=$PWD .venv/bin/python -P -m pytest 'tests/unit/plan/test_x.py::test_it[a b'\"'\"'s]'",
    )


@pytest.mark.parametrize("marker", ["real", "lab"])
def test_a_test_of_a_real_part_needs_root_and_the_variables_that_the_run_had(marker: str) -> None:
    first, second = lines("tests/e2e/test_x.py::test_it", {marker}, {"PLOYZ_FACTS": "etcd", "HOME": "/root"})
    assert first == "bin/setup  # as root, which the next line needs, too"
    assert second.startswith("PLOYZ_FACTS=etcd PLOYZ_REAL=1 PYTHONPATH=$PWD .venv/bin/python -P -m pytest tests/e2e/")


def test_of_many_failures_the_first_are_told_and_the_rest_counted() -> None:
    said = told({f"tests/test_{number}.py::test": () for number in range(MOST + 3)}, {})
    assert len([line for line in said if "pytest" in line]) == MOST
    assert said[-1] == "and 3 more"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_run_says_how_to_run_what_failed_and_that_line_runs_it(tmp_path: Path, workers: str) -> None:
    """The hook itself: by a test that fails, in a folder of its own with the conftest of this one."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_one.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_it(n: int) -> None:\n    assert n == 1\n"
    )
    argv = [sys.executable, "-P", "-m", "pytest", "-n", workers, "-p", "no:cacheprovider", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PLOYZ_", "PYTEST_"))}
    environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "bin/check test_one.py\n" in done.stdout
    assert "PYTHONPATH=$PWD .venv/bin/python -P -m pytest 'test_one.py::test_it[2]'\n" in done.stdout
    assert "test_it[1]" not in done.stdout
