"""bin/test: the command line, what it came to, and that nothing was left behind."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ployz.lab.lab import Lab
from ployz.lab.state import LabName
from ployz.lab.termination import termination_as_interrupt
from tests.leftovers import things, wait_until_none
from tests.runner.lanes import Lanes, Outcome
from tests.runner.parts import DEFAULT, ON_DEMAND, OWN_S, PARTS, QUICK, Part, chosen

DEADLINE_S: Final = 3600.0
"""Of the default run: what hangs is interrupted and named; a machine that is merely slow is not."""
USAGE: Final = 2
LAB: Final = "lab "
"""How tests.leftovers names one."""
INTERRUPTED: Final = 130


def main(argv: Sequence[str]) -> int:
    names, arguments = list(argv), []
    if "--" in names:
        at = names.index("--")
        names, arguments = names[:at], names[at + 1 :]
    if set(names) & {"-h", "--help"}:
        print(told())
        return 0
    if unknown := [name for name in names if name not in PARTS]:
        print(f"error [usage]: there is no part '{unknown[0]}'\nThere are: {', '.join(PARTS)}.", file=sys.stderr)
        return USAGE
    return run(chosen(names, arguments))


def told() -> str:
    """The help."""
    lines = [
        "usage: bin/test [PART…] [-- PYTEST ARGUMENTS]",
        "",
        "Sets up what is missing, then runs every check of the project, or the parts that are named. What a run does",
        "follows from its arguments and the commit. Says at the end what ran, what was left out and why.",
        "",
        "what has to be green, and runs when no part is named:",
        *(f"  {each.name:<16} {each.about}" for each in DEFAULT),
        "",
        f"  {'quick':<16} {', '.join(each.name for each in QUICK)}: needs nothing of the system but Python",
        "",
        "on demand:",
        *(f"  {each.name:<16} {each.about}" for each in ON_DEMAND),
        "",
        "exit codes: 0 all passed, 1 something failed or was left behind, 2 usage, 130 interrupted",
    ]
    return "\n".join(lines)


def run(parts: Sequence[Part]) -> int:
    """The exit code. What ran is told, and in the last line counted."""
    began_s = time.monotonic()
    before = set(things())
    on_demand = any(part.on_demand for part in parts)
    with termination_as_interrupt(), TemporaryDirectory(prefix="ployz-run-") as folder:
        lanes = Lanes(Path(folder), OWN_S if on_demand else DEADLINE_S)
        interrupted = False
        try:
            lanes.run(parts)
        except KeyboardInterrupt:
            interrupted = True
        left = wait_until_none(lambda: sorted(set(things()) - before))
        _take_down(left)
    print(summary(lanes.outcomes, left, time.monotonic() - began_s))
    failed = left or not lanes.outcomes or any(each.failed for each in lanes.outcomes)
    return INTERRUPTED if interrupted else int(bool(failed))


def _take_down(left: Sequence[str]) -> None:
    """What a killed worker could not. It is told all the same."""
    for each in left:
        if each.startswith(LAB):
            Lab(LabName(each.removeprefix(LAB))).down()


def summary(outcomes: Sequence[Outcome], left: Sequence[str], took_s: float) -> str:
    """What is left behind is a failure, told above the last line, which counts."""
    lines = [f"\n== what ran, in {took_s:.0f} s", *map(str, outcomes)]
    if left_out := [line for each in outcomes for line in each.left_out]:
        lines += ["\n== left out on this machine", *left_out]
    if left:
        lines += ["\n== left behind", *left]
    passed = sum(each.passed for each in outcomes)
    failed = sum(each.failed for each in outcomes) + bool(left)
    return "\n".join([*lines, f"\n{passed} passed, {failed} failed"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
