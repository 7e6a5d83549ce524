"""What is wrong with the slots that the facts place on a machine, by what it sees of their containers. Pure.

A slot that somebody waits for is either on its way, which takes a moment, or told of with what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from ployz.ids import OperationId, SlotRef
from ployz.manifest.model import Restart
from ployz.plan.doctor.readings import Trouble
from ployz.plan.restart import should_restart

LOOP_RESTARTS: Final = 3
"""Within five minutes: one crash is an accident, and two may be."""
ON_ITS_WAY_MS: Final = 5_000
"""What ended so lately is about to be started again."""

STOPPED_MS: Final = 20_000
"""Longer than a cut-over, or an undo."""


@frozen
class SeenSlot:
    slot: SlotRef
    there: bool
    """It has a container here. One that is missing is told of with all that others took away (plan/doctor/contests)."""
    running: bool
    paused: bool
    unready: bool
    exit_code: int | None
    """None: it runs, never ran, or is gone and nobody saw how it ended."""
    why: str
    since_ms: int
    restarts_lately: int
    policy: Restart


def of_slot(seen: SeenSlot, now_ms: int) -> Iterator[Trouble]:
    """One at most: what keeps it from its users most of all."""
    service, why = seen.slot.service, f": {seen.why}" if seen.why else ""
    logs = f"Look why: ployzctl service logs {service} --slot {seen.slot.slot}"
    if not seen.there and (seen.exit_code is None or should_restart(seen.policy, seen.exit_code)):
        return
    if seen.paused:
        container = f"docker ps --filter label=ployz.service={service.service}"
        yield Trouble("paused", seen.slot, "is paused: nothing of it runs", f"docker unpause it there; {container}")
    elif seen.restarts_lately >= LOOP_RESTARTS:
        last = "" if seen.exit_code is None else f", last with {seen.exit_code}"
        text = f"ends again and again: it was started again {seen.restarts_lately} times in five minutes{last}{why}"
        yield Trouble("crash-loop", seen.slot, text, logs)
    elif seen.unready:
        yield Trouble("unready", seen.slot, f"runs, and has not been ready for {_age(seen, now_ms)}{why}", logs)
    elif not seen.running and not _is_as_it_should_be(seen, now_ms):
        how = "was never started" if seen.exit_code is None else f"exited ({seen.exit_code})"
        yield Trouble("exited", seen.slot, f"{how}, and does not run{why}", logs)


def of_stopped(slot: SlotRef, operation_id: OperationId, age_ms: int) -> Iterator[Trouble]:
    """By an operation that has stopped it, to start it here or elsewhere: which takes moments, unless the machine that
    decides cannot be reached.
    """
    if age_ms >= STOPPED_MS:
        ago = f"{age_ms // 1000} s ago"
        text = f"was stopped by {operation_id} {ago}, and waits for its decision: it runs nowhere until then"
        remedy = f"It goes on by itself once the authority answers: ployzctl operation show {operation_id}"
        yield Trouble("stopped", slot, text, remedy)


def _is_as_it_should_be(seen: SeenSlot, now_ms: int) -> bool:
    if seen.exit_code is None:
        return False
    if should_restart(seen.policy, seen.exit_code):
        return now_ms - seen.since_ms < ON_ITS_WAY_MS and not seen.why
    return seen.exit_code == 0


def _age(seen: SeenSlot, now_ms: int) -> str:
    return f"{max(0, now_ms - seen.since_ms) // 1000} s"
