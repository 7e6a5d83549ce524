"""Plays many scenarios in several processes. A worker reads what to play, and writes one line for each report.

echo '{"seeds": [1, 2]}' | python -m tests.sim.workers
"""
# ruff: noqa: T201 - a worker prints its reports

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cattrs
from attrs import asdict, frozen

from tests.sim.prepared import play_all
from tests.sim.report import Report
from tests.sim.scenario import draw

PROCESSES: Final = 2
HASH_SEED: Final = {"PYTHONHASHSEED": "0"}
"""Sets of names are iterated in one order: a part of replaying exactly."""


@frozen
class Job:
    seeds: Sequence[int]
    tell: bool = False
    """Every report with its story, not only those with something wrong."""
    mutant: str = ""


def play_seeds(job: Job, take: Callable[[Report], None], *, processes: int = PROCESSES) -> None:
    """Returns when all were played. `take` is called in any order, by one thread at a time."""
    turn = threading.Lock()

    def serve(seeds: Sequence[int]) -> None:
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
            worker.stdin.write(json.dumps(asdict(Job(list(seeds), job.tell, job.mutant))))
            worker.stdin.close()
            for line in worker.stdout:
                with turn:
                    take(cattrs.structure(json.loads(line), Report))
        if worker.returncode:
            raise AssertionError(f"a worker ended with {worker.returncode}")

    with ThreadPoolExecutor(processes) as threads:
        for done in [threads.submit(serve, job.seeds[index::processes]) for index in range(processes)]:
            done.result()


def main() -> None:
    job = Job(**json.load(sys.stdin))

    def give(report: Report) -> None:
        print(json.dumps(asdict(report)), flush=True)

    play_all([draw(seed) for seed in job.seeds], give, tell=job.tell)


if __name__ == "__main__":
    main()
