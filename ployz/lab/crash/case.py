"""One case: a migration under load, one thing that goes wrong in it and is put right again, and what became of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from ployz import killpoints
from ployz.errors import Code, Failed
from ployz.facts.lock import LEASE_S
from ployz.lab.crash import checks, faults
from ployz.lab.crash.checks import Service
from ployz.lab.crash.faults import FaultCase
from ployz.lab.crash.matrix import Case, Cast, Role
from ployz.lab.crash.record import Record, now_us, recording
from ployz.lab.crash.stage import Stage
from ployz.lab.programs import failed

REACHED_S: Final = 60.0
RECOVERED_S: Final = 60.0
LOOK_EVERY_S: Final = 0.5
NOT_REACHED: Final = "not reached"


@frozen
class Outcome:
    coordinator: str
    what: str
    """`kill of target`."""
    when: str
    ended: str
    """`committed` or `aborted`: where it ran afterwards. `not reached`: that migration did not come by the point."""
    recovered_s: float
    """From the moment of the fault, or of its end, until everything was in order, without anybody doing anything."""
    down_s: float
    """The longest time without an acknowledged write."""
    acknowledged: int = 0
    """Writes, meanwhile."""
    problem: str = ""
    """Empty: it is in order."""

    @property
    def name(self) -> str:
        return f"{self.coordinator} coordinates, {self.what} {self.when}"


def run(stage: Stage, folder: Path, case: Case | FaultCase) -> Outcome:
    """Once more where the namespace is locked still: by an operation whose release the last case took from it.

    Its lease is waited for when everybody runs as the case wants it: an authority that is started again counts anew.
    """
    outcome = _run(stage, folder, case)
    if f"[{Code.LOCK_HELD}]" in outcome.problem:
        outcome = _run(stage, folder, case, pause_s=LEASE_S)
    return outcome


def _run(stage: Stage, folder: Path, case: Case | FaultCase, pause_s: float = 0.0) -> Outcome:
    slot = stage.slot(stage.machines[0])
    cast = Cast.of(stage, slot.machine)
    service = Service(slot.ipv4, slot.ipv6)
    with ExitStack() as then:
        _prepare(stage, cast, case, then)
        client = cast.machine(_witness(case))
        record = then.enter_context(recording(stage.lab.running(client), service.ipv4, folder / "answers"))
        stage.wait_until_reached()
        time.sleep(pause_s)
        began_us = now_us()
        moving = stage.migrate(cast.machine(case.coordinator), cast.target)
        then.callback(_end, moving)
        if isinstance(case, Case):
            reached = _killed(stage, cast.machine(case.victim), moving)
            over_s = time.monotonic()
            stage.restart(cast.machine(case.victim))
        else:
            reached = _struck(stage, cast, case, moving)
            over_s = time.monotonic()
        problem = wait_until_in_order(stage, record, service)
        recovered_s = time.monotonic() - over_s
        moving.kill()
        said, _ = moving.communicate()
        if not problem and not reached and moving.returncode != 0:
            problem = f"the migration failed before that: {said.splitlines()[-2:]}"
        problem = problem or _last_looks(stage, record, began_us)
        at = stage.slot(client).machine
        ended = "committed" if at == cast.target else "aborted"
        return Outcome(
            coordinator=case.coordinator,
            what=case.what,
            when=case.when,
            ended=ended if reached else NOT_REACHED,
            recovered_s=recovered_s,
            down_s=record.longest_gap_s(began_us, now_us()),
            acknowledged=len(record.writes),
            problem=problem or "",
        )


def _witness(case: Case | FaultCase) -> Role:
    """Who writes down what was acknowledged: nobody whom it hits."""
    hits: Sequence[Role] = () if isinstance(case, Case) else case.fault.hits
    able: Sequence[Role] = [role for role in (Role.THIRD, Role.SOURCE, Role.TARGET) if role not in hits]
    return able[0]


def _prepare(stage: Stage, cast: Cast, case: Case | FaultCase, then: ExitStack) -> None:
    if isinstance(case, Case):
        stage.restart(cast.machine(case.victim), case.point)
        return
    if case.phase:
        stage.restart(cast.machine(case.coordinator), f"{killpoints.STOP}phase/{case.phase}")
        then.callback(stage.go_on, cast.machine(case.coordinator))
    else:
        stage.write_ballast(faults.BALLAST_MIB)
        stage.lab.limit(cast.source, faults.LIMIT)
        then.callback(stage.lab.limit, cast.source, None)
    if isinstance(case.fault, faults.ClockStep) and case.fault.role is not case.coordinator:
        stage.restart(cast.machine(case.fault.role))  # such that its clock can be stepped


# ---------------------------------------------------------------- a kill


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


# ---------------------------------------------------------------- another fault


def _struck(stage: Stage, cast: Cast, case: FaultCase, moving: subprocess.Popen[str]) -> bool:
    """True: it has happened, and is over. False: the migration ended before its moment."""
    if not _moment_came(stage, cast, case, moving):
        return False
    try:
        case.fault.do(stage, cast)
        stage.go_on(cast.machine(case.coordinator))
        time.sleep(case.fault.held_s)
    finally:
        case.fault.undo(stage, cast)
    return True


def _moment_came(stage: Stage, cast: Cast, case: FaultCase, moving: subprocess.Popen[str]) -> bool:
    coordinator = cast.machine(case.coordinator)
    wanted = case.sent * faults.BALLAST_MIB * (1 << 20)
    before = stage.sent_bytes(cast.source)
    end_s = time.monotonic() + REACHED_S
    while time.monotonic() < end_s:
        if case.phase and stage.is_stopped(coordinator):
            return True
        if not case.phase and stage.sent_bytes(cast.source) - before >= wanted:
            return True
        if moving.poll() is not None:
            return False
        time.sleep(0.02)
    raise failed(f"{case}: its moment did not come within {REACHED_S:.0f} s")


# ---------------------------------------------------------------- afterwards


def _end(moving: subprocess.Popen[str]) -> None:
    if moving.poll() is None:
        moving.kill()
        moving.communicate()


def wait_until_in_order(stage: Stage, record: Record, service: Service) -> str | None:
    end_s = time.monotonic() + RECOVERED_S
    while (problem := checks.problem(stage, record, service)) is not None:
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


def failing(case: Case | FaultCase, error: Failed) -> Outcome:
    """Of a case that did not come to its end."""
    nothing = Outcome(case.coordinator, case.what, case.when, NOT_REACHED, 0.0, 0.0)
    return evolve(nothing, problem=error.problem.text)
