"""Plays many runs in several processes. A worker reads what to play, and writes one line for each report.

echo '{"runs": [{"seed": 1}, {"seed": 2}]}' | python -m tests.sim.workers
"""
# ruff: noqa: T201 - a worker prints its reports

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cattrs
from attrs import asdict, frozen

from tests.sim.mutants.catalog import MUTANTS
from tests.sim.prepared import Turn, begin_alike, play_all
from tests.sim.report import Report
from tests.sim.scenario import draw

PROCESSES: Final = 2
HASH_SEED: Final = {"PYTHONHASHSEED": "0"}
"""Sets of names are iterated in one order: a part of replaying exactly."""


@frozen
class Run:
    """A scenario by its seed; or a try at catching a mutant, by its number."""

    seed: int
    mutant: str = ""
    sound: bool = False
    """The mutant's scenario without its bug."""

    def turn(self) -> Turn:
        if not self.mutant:
            return Turn(draw(self.seed))
        mutant = MUTANTS[self.mutant]
        scenario = mutant.scenario(self.seed)
        return Turn(scenario) if self.sound else Turn(scenario, mutant.spoil)


@frozen
class Job:
    runs: Sequence[Run]
    tell: bool = False
    """Every report with its story, not only those with something wrong."""


def seeds(numbers: Iterable[int]) -> list[Run]:
    return [Run(each) for each in numbers]


def play(job: Job, take: Callable[[Run, Report], None], *, processes: int = PROCESSES) -> None:
    """Returns when all were played. `take` is called in any order, by one thread at a time."""
    turn = threading.Lock()

    def serve(runs: Sequence[Run]) -> None:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.sim.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | HASH_SEED,
            text=True,
        )
        with worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write(json.dumps(asdict(Job(runs, job.tell))))
            worker.stdin.close()
            for line in worker.stdout:
                index, report = json.loads(line)
                with turn:
                    take(runs[index], cattrs.structure(report, Report))
        if worker.returncode:
            raise AssertionError(f"a worker ended with {worker.returncode}")

    with ThreadPoolExecutor(processes) as threads:
        for done in [threads.submit(serve, share) for share in _shares(job.runs, processes)]:
            done.result()


def _shares(runs: Sequence[Run], processes: int) -> list[list[Run]]:
    """Those that begin alike in one of them."""
    shares: list[list[Run]] = [[] for _ in range(processes)]
    for alike in sorted(begin_alike({each: each.turn() for each in runs}), key=len, reverse=True):
        min(shares, key=len).extend(alike)
    return shares


def main() -> None:
    job = cattrs.structure(json.load(sys.stdin), Job)

    def give(index: int, report: Report) -> None:
        print(json.dumps([index, asdict(report)]), flush=True)

    play_all([each.turn() for each in job.runs], give, tell=job.tell)


if __name__ == "__main__":
    main()
