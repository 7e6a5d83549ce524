"""One case: a migration under load, one daemon killed at one point and started again, and what became of it."""

from __future__ import annotations

import subprocess
import time
from typing import Final

from attrs import frozen

from ployz.errors import Failed
from ployz.lab.crash import checks
from ployz.lab.crash.matrix import Case, Cast
from ployz.lab.crash.record import Record, now_us
from ployz.lab.crash.stage import Stage

REACHED_S: Final = 60.0
RECOVERED_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1


@frozen
class Outcome:
    case: Case
    ended: str
    """`committed` or `aborted`: where it ran afterwards. `not reached`: that migration did not come by the point."""
    recovered_s: float
    """From the kill until everything was in order, without anybody doing anything but starting ployzd again."""
    down_s: float
    """The longest time without an acknowledged write."""
    problem: str = ""
    """Empty: it is in order."""


def run(stage: Stage, record: Record, case: Case) -> Outcome:
    source = stage.slot(stage.machines[0])
    cast = Cast.of(stage, source["machine"])
    victim = cast.machine(case.victim)
    stage.restart(victim, case.point)
    stage.wait_until_reached(cast.machine(case.coordinator))
    began_us = now_us()
    moving = stage.migrate(cast.machine(case.coordinator), cast.target)
    try:
        reached = _killed(stage, victim, moving)
        killed_s = time.monotonic()
        stage.restart(victim)
        problem = _wait_until_in_order(stage, record, source["ipv4"])
        recovered_s = time.monotonic() - killed_s
    finally:
        moving.kill()
        said, _ = moving.communicate()
    if not problem and not reached and moving.returncode != 0:
        problem = f"the migration failed before that: {said.splitlines()[-1:]}"
    if not problem:
        problem = _last_looks(stage, record, began_us)
    at = stage.slot(victim)["machine"]
    ended = "committed" if at == cast.target else "aborted"
    return Outcome(
        case, ended if reached else "not reached", recovered_s, record.longest_gap_s(began_us), problem or ""
    )


def _killed(stage: Stage, victim: str, moving: subprocess.Popen[str]) -> bool:
    """False: the migration ended, and its daemon lives."""
    node = stage.node(victim)
    end_s = time.monotonic() + REACHED_S
    while time.monotonic() < end_s:
        if not node.alive():
            return True
        if moving.poll() is not None:
            time.sleep(1.0)  # what a machine does after the answer
            return not node.alive()
        time.sleep(0.02)
    return False


def _wait_until_in_order(stage: Stage, record: Record, address: str) -> str | None:
    end_s = time.monotonic() + RECOVERED_S
    while (problem := checks.problem(stage, record, address)) is not None:
        if time.monotonic() > end_s:
            return problem
        time.sleep(LOOK_EVERY_S)
    return None


def _last_looks(stage: Stage, record: Record, from_us: int) -> str | None:
    try:
        record.check(from_us)
        checks.verified(stage)
    except Failed as error:
        return error.problem.text
    return None
