"""How an operation ends: committed, or undone. Exactly one of the two, whatever answers are lost.

Before the commit everything can be undone. After it there is only forward: what a machine has not finished, it
finishes when it is back.
"""

from __future__ import annotations

from typing import Final

import anyio

from ployz.actors.measuring import Measuring
from ployz.actors.messages.routing import AwaitPosition
from ployz.actors.messages.workload import Settle
from ployz.actors.performer import Performer
from ployz.actors.together import together
from ployz.actors.whereabouts import where_it_runs
from ployz.actors.work import Work, catch_up, failures
from ployz.config import EFFECT_TIMEOUT_S, FOLLOW_TIMEOUT_S
from ployz.errors import CleanupPending, Code, Failed, Problem, Unreachable
from ployz.events.types import DeployCommitted, VolumePlacement
from ployz.facts import commit
from ployz.facts.conflicts import explain
from ployz.facts.decision import Aborted, Committed, NotCommitted, abort_or_read, commit_or_read
from ployz.facts.keys import Decision, Verdict, VolumeOwnership
from ployz.facts.lock import NamespaceLock
from ployz.facts.port import Transaction
from ployz.ids import MachineId
from ployz.plan.effects import Phase
from ployz.plan.model import Change

UNKNOWN_TRIES: Final = 30
UNKNOWN_PAUSE_S: Final = 2.0
"""An outcome that is unknown is asked for this often before the command says that it is unknown."""


async def commit_plan(work: Work, performer: Performer, lock: NamespaceLock) -> int:
    """The position of the commit. `Failed`: it is not committed, and what was done is to be undone."""
    work.story.enter(Phase.COMMIT, "commit")
    transaction = commit.commit(
        _committed(work, performer),
        by=work.parts.me,
        lock_token=lock.token,
        seen=_seen(work),
        final_snapshots=tuple(performer.final),
    )
    match await _outcome(work, transaction):
        case Committed(position):
            return position
        case NotCommitted(conflict):
            found = explain(conflict)
            raise Failed(found.code, found.text, found.advice)
        case Aborted(decision):
            raise Failed(Code.DECIDED, f"it was aborted by {decision.by}: {decision.reason}")


async def _outcome(work: Work, transaction: Transaction) -> Committed | NotCommitted | Aborted:
    aborted = work.aborted("its commit got no answer")
    try:
        return await commit_or_read(work.parts.facts, transaction, aborted, started_at=work.position)
    except Unreachable:
        decision = await decide_abort(work, aborted.reason)
    return Aborted(decision) if decision.verdict is Verdict.ABORT else Committed(await _commit_position(work))


async def decide_abort(work: Work, reason: str) -> Decision:
    """Aborts unless it is decided. An unknown outcome is asked for again: that may be repeated, a commit may not."""
    for _ in range(UNKNOWN_TRIES):
        try:
            return await abort_or_read(work.parts.facts, work.aborted(reason))
        except Unreachable as error:
            work.story.tell(f"the outcome is unknown, asking again: {error.problem.text}")
            await anyio.sleep(UNKNOWN_PAUSE_S)
    raise Unreachable(
        Code.OUTCOME_UNKNOWN,
        f"it is not known how operation {work.operation_id} was decided: the authority gives no answer",
        f"The machines resolve it by themselves when it is back: ployzctl operation show {work.operation_id}",
    )


async def follow(work: Work, position: int, measuring: Measuring) -> dict[MachineId, str]:
    """Until every machine's overlay agrees with the commit. Which ones do not yet, and why."""
    work.story.enter(Phase.FOLLOW, "every machine follows the commit")

    async def followed(machine: MachineId) -> None:
        await work.home.remote(machine, "routing").ask(AwaitPosition(position), timeout_s=FOLLOW_TIMEOUT_S + 1)
        measuring.followed()

    return await failures([member.machine for member in work.parts.view.machines.in_order()], followed)


async def clean_up(work: Work, position: int, lagging: dict[MachineId, str]) -> None:
    work.story.enter(Phase.CLEAN, "remove what is no longer needed")
    pending = lagging | await _settle(work, position)
    if pending:
        text = "it is committed, and these machines have not finished: " + _listed(pending)
        raise CleanupPending(
            Code.CLEANUP_PENDING,
            _lines(text, await where_it_runs(work, committed=True)),
            "They finish by themselves when they can be reached, and at once, if they can, by "
            f"`ployzctl operation resume {work.operation_id}`.",
        )


async def undo(work: Work, performer: Performer, why: Problem) -> int:
    """Position of the commit, if the operation turns out to be committed. Else it is aborted and undone: `Failed`."""
    phase = work.story.phase
    work.story.tell(f"failed: {why.text}; undoing")
    await performer.take_back()
    reason = f"{phase}: {why.text}"
    try:
        decision = await decide_abort(work, reason)
    except Unreachable as error:
        text = _lines(error.problem.text, await where_it_runs(work, committed=False))
        raise Unreachable(error.code, text, error.problem.advice) from error
    if decision.verdict is Verdict.COMMIT:
        return await _commit_position(work)
    if decision.reason != reason and why.code not in (Code.DECIDED, Code.LOCK_LOST):
        # Somebody aborted it first. What failed here is only how this machine came to know.
        why = Problem(Code.DECIDED, f"it was aborted by {decision.by}: {decision.reason}")
    await together(*(each.cancel for each in performer.transfers))
    await catch_up(work.parts)
    pending = await _settle(work, work.parts.view.position)
    stopped = performer.measuring.began_s is not None or phase is Phase.START
    if pending:
        state = "aborted, and not all is undone yet: " + _listed(pending)
    elif stopped:
        state = "undone; services and their data are where they were"
    else:
        state = "undone; nothing was stopped"
    runs = await where_it_runs(work, committed=False) if stopped or pending else ""
    raise Failed(_cause(why), _lines(f"failed in phase {phase}: {why.text}", state, runs), why.advice)


def _cause(why: Problem) -> Code:
    """What a participant did is unknown when it does not answer. How the operation ended is not: it is aborted."""
    return Code.MACHINE_UNREACHABLE if why.code in (Code.OUTCOME_UNKNOWN, Code.TIMED_OUT) else why.code


async def _settle(work: Work, position: int) -> dict[MachineId, str]:
    async def settled(machine: MachineId) -> None:
        await work.workload(machine).ask(Settle(position), timeout_s=EFFECT_TIMEOUT_S)

    return await failures(work.plan.participants, settled)


async def _commit_position(work: Work) -> int:
    await catch_up(work.parts)
    return work.parts.view.operations[work.operation_id].position


def _committed(work: Work, performer: Performer) -> DeployCommitted:
    plan = work.plan
    return DeployCommitted(
        operation_id=work.operation_id,
        kind=plan.kind,
        namespace=plan.namespace,
        manifest=plan.manifest,
        slots=tuple(performer.placement(slot) for slot in plan.slots if slot.change is not Change.REMOVE),
        volumes=tuple(VolumePlacement(each.volume, each.machine, each.epoch) for each in plan.volumes),
        evidence=tuple(performer.evidence),
    )


def _seen(work: Work) -> commit.Seen:
    return commit.Seen(
        volumes={
            each.volume: VolumeOwnership(each.previous.owner, each.previous.epoch)
            for each in work.plan.volumes
            if each.previous is not None
        },
        slots=tuple(slot.previous for slot in work.plan.slots if slot.previous is not None),
    )


def _listed(pending: dict[MachineId, str]) -> str:
    return "; ".join(f"{machine}: {why}" for machine, why in sorted(pending.items()))


def _lines(*texts: str) -> str:
    return "\n".join(filter(None, texts))
