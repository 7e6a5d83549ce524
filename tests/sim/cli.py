"""bin/sim: plays runs and tells them, or looks for new ones that go wrong."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.sim.report import Report
from tests.sim.scenario import draw
from tests.sim.workers import PROCESSES, Job, Run, play, seeds

BATCH: Final = 200
SEED_MAX: Final = 10**9
ROOT: Final = Path(__file__).resolve().parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if bool(arguments.seeds) == (arguments.minutes is not None):
        _parser().error("either SEED…, or --minutes N")
    if arguments.seeds:
        return _tell(arguments.seeds)
    return _explore(arguments.minutes * 60)


def _tell(numbers: Sequence[int]) -> int:
    """Each run as it happened."""
    wrong = 0

    def take(_: Run, report: Report) -> None:
        nonlocal wrong
        wrong += bool(report.wrong)
        print(told(report), end="\n\n", flush=True)

    play(Job(seeds(numbers), tell=True), take, processes=min(PROCESSES, len(numbers)))
    return 1 if wrong else 0


def _explore(seconds: float) -> int:
    """New seeds, until the time is over. Those that go wrong are told."""
    began_s = time.monotonic()
    tally = Tally()
    dice = random.SystemRandom()
    while (left_s := seconds - (time.monotonic() - began_s)) > 0:
        play(Job(seeds(dice.randrange(SEED_MAX) for _ in range(BATCH))), tally.take)
        print(f"{seconds - left_s:6.0f} s  {tally}", flush=True)
    return 1 if tally.wrong else 0


class Tally:
    """What many runs came to."""

    def __init__(self) -> None:
        self.runs = self.committed = self.aborted = self.acknowledged = self.effects = 0
        self.struck: Counter[str] = Counter()
        self.wrong: list[Report] = []

    def take(self, _: Run, report: Report) -> None:
        self.runs += 1
        self.committed += report.committed
        self.aborted += report.aborted
        self.acknowledged += report.acknowledged
        self.effects += report.effects
        self.struck.update(report.struck)
        if report.wrong:
            self.wrong.append(report)
            print(told(report), end="\n\n", flush=True)

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.struck.items()))
        return (
            f"{self.runs} runs, {len(self.wrong)} wrong; {self.effects} effects, {self.committed} operations "
            f"committed, {self.aborted} aborted, {self.acknowledged} records acknowledged; faults: {faults}"
        )


def told(report: Report) -> str:
    """The scenario, its history, what was wrong with it, and how to play it again."""
    verdict = "\n".join(f"WRONG: {each}" for each in report.wrong) or "nothing was wrong"
    return (
        f"{draw(report.seed)}\nwhat happened:\n{report.story}\n{verdict}\n"
        f"seed {report.seed} at commit {_commit()}; again: bin/sim {report.seed}"
    )


def _commit() -> str:
    """With a mark if files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/sim", description=__doc__)
    parser.add_argument("seeds", metavar="SEED", type=int, nargs="*", help="play this run, and tell all of it")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="play new runs for so long, and tell those that go wrong"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
