"""Where slots run, by the word of the machines that have them: what `service ls` shows, and how an operation's result
ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from attrs import frozen

from ployz.actors.core import Home
from ployz.actors.messages.workload import ShowWorkload, SlotState
from ployz.actors.together import together
from ployz.actors.work import Work
from ployz.config import PROBE_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.ids import MachineId, Namespace, ServiceRef, SlotRef
from ployz.plan.model import Change, Plan

NAMED_MAX: Final = 3
"""The others are counted."""
RUNNING: Final = "running"
UNKNOWN: Final = "unknown"


@frozen
class Whereabouts:
    slot: SlotRef
    machine: MachineId
    state: str
    """As `service ls` has it."""
    since_ms: int = 0
    """By the machine's clock; 0: not known."""


async def slot_states(home: Home, machine: MachineId, namespace: Namespace) -> dict[SlotRef, SlotState] | None:
    """None: the machine does not answer."""
    try:
        workload = home.remote(machine, f"workload/{namespace}")
        state = await workload.ask(ShowWorkload(), timeout_s=PROBE_TIMEOUT_S)
    except PloyzError:
        return None
    # A candidate of an operation in flight fills the same slot: what runs is what is shown.
    slots = sorted(state.slots, key=lambda each: each.running)
    return {SlotRef(ServiceRef(namespace, each.service), each.slot): each for each in slots}


def state_word(found: SlotState | None) -> str:
    """None: its machine has nothing of it."""
    if found is None:
        return "missing"
    if found.running:
        return "paused" if found.paused else "unready" if found.unready else RUNNING
    if found.fenced_by is not None:
        return "fenced"
    if not found.container and found.exit_code is None:
        return "missing"
    return "created" if found.exit_code is None else f"exited ({found.exit_code})"


async def where_it_runs(work: Work, *, committed: bool) -> str:
    """Of what the operation has stopped or started. Empty: of nothing."""
    namespace, places = work.plan.namespace, dict(_places(work.plan, committed=committed))
    machines = sorted(set(places.values()))
    answers = await together(*(partial(slot_states, work.home, machine, namespace) for machine in machines))
    states = dict(zip(machines, answers, strict=True))
    return words([_whereabouts(slot, machine, states[machine]) for slot, machine in places.items()])


def words(found: Sequence[Whereabouts]) -> str:
    """What does not run first."""
    rows = sorted(found, key=lambda each: (each.state == RUNNING, str(each.slot)))
    said = [_sentence(each) for each in rows[:NAMED_MAX]]
    if more := rows[NAMED_MAX:]:
        run = sum(each.state == RUNNING for each in more)
        said.append(f"of {len(more)} more slots {'all' if run == len(more) else run} run")
    return "; ".join(said)


def _sentence(each: Whereabouts) -> str:
    if each.state == UNKNOWN:
        return f"whether {each.slot} runs is not known: {each.machine} does not answer"
    at = datetime.fromtimestamp(each.since_ms // 1000, UTC)
    since = f", since {at:%Y-%m-%d %H:%M:%S} UTC" if each.since_ms else ""
    return f"{each.slot} {'runs' if each.state == RUNNING else f'is {each.state}'} on {each.machine}{since}"


def _whereabouts(slot: SlotRef, machine: MachineId, states: dict[SlotRef, SlotState] | None) -> Whereabouts:
    if states is None:
        return Whereabouts(slot, machine, UNKNOWN)
    found = states.get(slot)
    return Whereabouts(slot, machine, state_word(found), found.since_ms if found else 0)


def _places(plan: Plan, *, committed: bool) -> Iterator[tuple[SlotRef, MachineId]]:
    for each in plan.slots:
        slot = SlotRef(ServiceRef(plan.namespace, each.service), each.slot)
        if each.change is Change.UNCHANGED:
            continue
        if committed and each.change is not Change.REMOVE:
            yield slot, each.machine
        elif not committed and each.source is not None:
            yield slot, each.source
