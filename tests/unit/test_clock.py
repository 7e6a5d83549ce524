"""Time comes from one place, so that a step of the wall clock reaches everything that goes by it and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ployz
from ployz.clock import STEP_VARIABLE, SystemClock

PACKAGE = Path(ployz.__file__).parent
WALL = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}
LOOKS = {
    PACKAGE / "clock.py",
    PACKAGE / "host/docker/events.py",  # Docker's own clock, which is compared with nothing of ours
}


def test_a_step_moves_the_wall_clock_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = tmp_path / "step"
    monkeypatch.setenv(STEP_VARIABLE, str(step))
    clock = SystemClock()
    before_ms, before_s = clock.wall_ms(), clock.monotonic_s()
    step.write_text("3600000")
    assert 3_600_000 <= clock.wall_ms() - before_ms < 3_660_000
    step.write_text("-3600000")
    assert -3_600_000 <= clock.wall_ms() - before_ms < -3_540_000
    assert 0 <= clock.monotonic_s() - before_s < 60
    step.unlink()
    assert 0 <= clock.wall_ms() - before_ms < 60_000


def test_nothing_of_the_daemon_looks_at_the_wall_clock_itself() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path not in LOOKS and PACKAGE / "lab" not in path.parents and PACKAGE / "cli" not in path.parents
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("dt.") in WALL
    ]
    assert found == []
