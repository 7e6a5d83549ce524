"""`bin/check`: what to run after a change. Static checks of the whole tree, and the tests that belong to the change.

Without root, real parts or packages of the system. Nothing here decides what is run: tests/checking/selection.py does.
"""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from tests.checking.changes import Unusable, changes, inside
from tests.checking.costs import TABLE, Measuring, read_costs, write_costs
from tests.checking.graph import read_graph
from tests.checking.selection import Selection, select
from tests.checking.words import left_out, selected

ROOT: Final = Path(__file__).parents[2]
DEADLINE_S: Final = 1_800.0
"""What hangs is interrupted: pytest then says where it was."""
WORKERS_MAX: Final = 8
SERIAL_S: Final = 4.0
"""Tests that cost less are run in one process: workers take a second to start."""
NOTHING_COLLECTED: Final = 5

QUICK: Final[Mapping[str, tuple[str, ...]]] = {
    "format": ("ruff", "format", "--check", "--quiet", "."),
    "lint": ("ruff", "check", "--quiet", "."),
    "layers": ("lint-imports",),
}
TYPES: Final = ("mypy",)


def main(argv: Sequence[str]) -> int:
    given = _parser().parse_args(argv)
    graph = read_graph(ROOT)
    if given.measure:
        os.chdir(ROOT)
        return _measure(select(graph.importers, graph, {}, math.inf))
    costs = read_costs(TABLE.read_text(encoding="utf-8"))
    try:
        changed = inside(ROOT, given.path) if given.path else () if given.all else changes(ROOT)
    except Unusable as error:
        print(
            f"error [usage]: {error}\nName what was changed, bin/check PATH…, or run bin/check --all.", file=sys.stderr
        )
        return 2
    os.chdir(ROOT)
    chosen = select(graph.importers, graph, costs, math.inf) if given.all else select(changed, graph, costs)
    print("\n".join(selected(chosen, changed, every=given.all)), flush=True)
    failed = 0 if given.list else _run(chosen)
    print("\n".join(left_out(chosen, every=given.all)))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/check",
        description="What to run after a change: format, lint, types, layers, and the tests that belong to the change. "
        "Needs no root and no real parts: the tests of those are bin/test's.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "path",
        nargs="*",
        help="what was changed: files or folders. Without any: what git says was changed, in the work tree and since "
        "the branch left the one it follows, or main",
    )
    parser.add_argument("--all", action="store_true", help="run every test that needs no real part: three minutes")
    parser.add_argument("--list", action="store_true", help="say which tests would run and why, and run nothing")
    parser.add_argument(
        "--measure", action="store_true", help="run them all, one after the other, and write down what each file costs"
    )
    return parser


@frozen
class Begun:
    name: str
    process: subprocess.Popen[str]
    began_s: float


def _run(chosen: Selection) -> int:
    """How many of the checks failed. The slow static check runs beside the tests."""
    began_s = time.monotonic()
    ended = {name: _end(_begin(name, argv)) for name, argv in QUICK.items()}
    types = _begin("types", TYPES)
    if chosen.chosen:
        ended["tests"] = _test(chosen)
    ended["types"] = _end(types)
    failed = [name for name, well in ended.items() if not well]
    print(f"\n{', '.join(failed)} failed" if failed else "\nall is well", f"in {time.monotonic() - began_s:.0f} s")
    return len(failed)


def _begin(name: str, argv: Sequence[str]) -> Begun:
    program = Path(sys.executable).with_name(argv[0])
    process = subprocess.Popen(
        [program, *argv[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return Begun(name, process, time.monotonic())


def _end(begun: Begun) -> bool:
    """Whether it went well. What it said is only worth reading where it did not."""
    said, _ = begun.process.communicate(timeout=DEADLINE_S)
    well = begun.process.returncode == 0
    print(f"{begun.name:8} {'passed' if well else 'FAILED'}  {time.monotonic() - begun.began_s:.1f} s", flush=True)
    if not well:
        print(said, flush=True)
    return well


def _test(chosen: Selection) -> bool:
    workers = min(len(os.sched_getaffinity(0)), WORKERS_MAX) if chosen.cost_s > SERIAL_S else 0
    argv = [sys.executable, "-P", "-m", "pytest", "--quiet", "-m", "not real and not lab", "-n", str(workers)]
    argv += ["--dist", "worksteal", "--hypothesis-profile", "same", *(each.path for each in chosen.chosen)]
    began_s = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=_environment()) as process:
        try:
            exit_code = process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            exit_code = process.wait() or 1
    well = exit_code in {0, NOTHING_COLLECTED}
    print(f"{'tests':8} {'passed' if well else 'FAILED'}  {time.monotonic() - began_s:.1f} s", flush=True)
    return well


def _environment() -> dict[str, str]:
    """Without what changes a test: the same arguments on the same tree do the same. And without what would have every
    process that a test starts compile 350 modules anew.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PLOYZ_", "PYTEST_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}


def _measure(every: Selection) -> int:
    """One after the other in this process: what another worker does beside it would be measured, too."""
    measuring = Measuring()
    paths = [each.path for each in every.chosen]
    exit_code = pytest.main(
        ["--quiet", "-m", "not real and not lab", "--hypothesis-profile", "same", *paths], [measuring]
    )
    if exit_code == 0:
        TABLE.write_text(write_costs(measuring.measured), encoding="utf-8")
    return int(exit_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
