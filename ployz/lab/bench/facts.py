"""What ordering facts on etcd costs, and how long nothing is committed when its leader dies.

The last benchmark: the lab's facts move to etcd for it, and do not go back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from ployz.lab.bench import commits
from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage
from ployz.lab.programs import failed, wait_until

ACCESS: Final = "/var/lib/ployz/etcd.json"
ROOT: Final = commits.__file__.removesuffix("/ployz/lab/bench/commits.py")
COMMITS: Final = 100
LATENCY_AT_MOST: Final = 3.0
GAP_AT_MOST_S: Final = 5.0
KILLS: Final = 3
BEFORE_S: Final = 2.0
AFTER_S: Final = 8.0
BACK_S: Final = 60.0
"""Until the member that was killed answers again: ployzd starts it."""
TOO_LONG_S: Final = 120.0


def measure(stage: Stage) -> Sequence[Row]:
    machines = list(stage.lab.state().machines)[:3]
    stage.operator.ask("cluster", "promote", *machines, "--yes")
    found = [json.loads(line) for line in _run(stage, machines[0], COMMITS).splitlines()]
    gaps_s = [_gap_s(stage) for _ in range(KILLS)]
    return [
        Row.of_medians(
            "a commit on etcd, three members / a bare transaction of its size",
            "ms",
            [1000 * each["commit_s"] for each in found],
            [1000 * each["bare_s"] for each in found],
            at_most=LATENCY_AT_MOST,
        ),
        Row("the leader of etcd killed: longest time without a commit", "s", max(gaps_s), at_most=GAP_AT_MOST_S),
    ]


def _gap_s(stage: Stage) -> float:
    leader, other = _leader_and_other(stage)
    with subprocess.Popen(
        stage.lab.running(other).enter(_argv(0)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        try:
            time.sleep(BEFORE_S)
            stage.lab.running(leader).run(["pkill", "-9", "-x", "etcd"])
            time.sleep(AFTER_S)
            told, _ = client.communicate(timeout=TOO_LONG_S)
        finally:
            client.kill()
    at_s: list[float] = [json.loads(line)["acknowledged_s"] for line in told.splitlines()]
    if len(at_s) < 2:  # noqa: PLR2004 - a gap is between two
        raise failed("nothing was committed to etcd")
    gap_s = max(after - before for before, after in pairwise(at_s))
    stage.say(f"facts: the etcd of {leader} was killed: {len(at_s)} commits, and none for {gap_s:.2f} s")
    return gap_s


def _leader_and_other(stage: Stage) -> tuple[str, str]:
    """When every member answers."""
    found: dict[str, bool] = {}

    def all_answer() -> bool:
        members = stage.operator.ask("cluster", "status")["members"]
        found.update({each["machine"]: each["leads"] for each in members})
        return all(each["answers"] for each in members) and any(found.values())

    wait_until("every member of etcd", all_answer, deadline_s=BACK_S)
    leader = next(machine for machine, leads in found.items() if leads)
    return leader, next(machine for machine in found if machine != leader)


def _run(stage: Stage, machine: str, count: int) -> str:
    return stage.lab.running(machine).run(_argv(count), deadline_s=TOO_LONG_S)


def _argv(count: int) -> list[str]:
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-m", commits.__name__, ACCESS, str(count)]
