"""Mutants of the decision: who may take it, what it compares, and who believes what of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import evolve

from ployz.actors import ending
from ployz.actors.performer import Performer
from ployz.actors.undecided import Undecided
from ployz.errors import PloyzError
from ployz.events.types import ServiceUnfenced, SnapshotTaken
from ployz.facts import commit as commits
from ployz.facts import keys
from ployz.facts.keys import Decision, Verdict
from ployz.facts.lock import NamespaceLock
from ployz.facts.port import Absent, Compare, RevisionIs, Transaction
from ployz.projections.operations import Operation
from tests.cluster.manifests import A, B, C
from tests.sim.faults import Cut, Late, LockLost, Lost, Moment
from tests.sim.mutants.mutant import Mutant, patch
from tests.sim.orders import Migrate
from tests.sim.scenario import D


def _comparing_only(kept: Callable[[Compare], bool]) -> None:
    """The commit compares everything but what `kept` says of."""
    original = commits.commit

    def commit(*args: Any, **kwargs: Any) -> Transaction:
        whole = original(*args, **kwargs)
        return evolve(whole, compares=tuple(each for each in whole.compares if kept(each)))

    patch(commits, "commit", commit)


def _is_token(compare: Compare) -> bool:
    return isinstance(compare, RevisionIs) and compare.key.startswith(keys.LOCKS)


def _is_decision(compare: Compare) -> bool:
    return isinstance(compare, Absent) and compare.key.startswith("decision/")


def no_source_vote() -> None:
    """The coordinator takes the volume as the last warm round left it, and asks its owner for nothing."""
    votes = commits._votes

    async def depart(self: Performer, effect: Any, transfer: Any) -> None:
        for volume in effect.volumes:
            base = transfer.bases[volume][0]
            self.final.append(SnapshotTaken(volume, base.name, base.guid))

    def of_the_target_alone(committed: Any, seen: Any, final: Any) -> Iterator[Any]:
        sources = {each.owner for each in seen.volumes.values()}
        return (each for each in votes(committed, seen, final) if each.key.rpartition("/")[2] not in sources)

    patch(Performer, "_depart", depart)
    patch(commits, "_votes", of_the_target_alone)


def abort_decided_locally() -> None:
    """A participant that does not reach the authority takes the operation for aborted, and opens its gate."""
    resolve = Undecided.resolve

    async def locally(self: Undecided, operation: Operation) -> None:
        try:
            await keys.lock(operation.namespace).read(self.parts.facts)
        except PloyzError:
            for service, closed_by in list(self.parts.local.fences.items()):
                if closed_by == operation.operation_id:
                    await self.parts.journal.record(f"service/{service}", ServiceUnfenced(service, closed_by))
            self.parts._decided.add(operation.namespace)
            self.parts.facts_changed()
        else:
            await resolve(self, operation)

    patch(Undecided, "resolve", locally)


def no_token() -> None:
    _comparing_only(lambda compare: not _is_token(compare))


def no_token_and_no_decision_key() -> None:
    """Each covers for the other: only without both is a late commit taken."""
    _comparing_only(lambda compare: not _is_token(compare) and not _is_decision(compare))


def lock_belief_ignored() -> None:
    """With the token, nothing comes of it: without both, a lost lock commits."""
    no_token()
    patch(NamespaceLock, "check", lambda _: None)


def abort_assumed() -> None:
    """What got no answer is taken for aborted, and nobody is asked."""

    async def assume(work: Any, reason: str) -> Decision:
        return Decision(Verdict.ABORT, work.parts.me, reason)

    async def see_no_need(parts: Any) -> None:
        return None

    patch(ending, "decide_abort", assume)
    patch(ending, "catch_up", see_no_need)


def epoch_kept() -> None:
    """A move does not raise the epoch."""
    committed = ending._committed

    def unraised(work: Any, performer: Any) -> Any:
        whole = committed(work, performer)
        return evolve(whole, volumes=tuple(evolve(each, epoch=each.epoch - 1) for each in whole.volumes))

    patch(ending, "_committed", unraised)
    patch(commits, "_changes_owner", lambda placement, seen: seen.volumes[placement.volume].owner != placement.owner)


_COMMIT_COMES = Moment(1, "docker.start", done=True)

MUTANTS = (
    Mutant(
        "commit without the source's vote",
        no_source_vote,
        "writers on several machines|acknowledged records",
        (Migrate(A, C),),
    ),
    Mutant(
        "abort decided locally",
        abort_decided_locally,
        "writers on several machines",
        (Migrate(D, C),),
        lambda number: (
            Late(Moment(1, "zfs.mount", done=True), reply=True, late_s=30.0 + number, about="workload.start"),
            Cut(Moment(1, "docker.start", done=True, after_last=True), A, B, one_way=False, for_s=45.0),
        ),
    ),
    Mutant(
        "no fencing token",
        no_token,
        "without holding the lock",
        (Migrate(D, C),),
        lambda _: (LockLost(_COMMIT_COMES, stolen=True),),
    ),
    Mutant(
        "no fencing token and no decision key",
        no_token_and_no_decision_key,
        "is aborted and committed|writers on several machines",
        (Migrate(D, C),),
        lambda number: (Late(_COMMIT_COMES, reply=False, late_s=50.0 + number, about="commit"),),
    ),
    Mutant(
        "the belief in the lock ignored, and no fencing token",
        lock_belief_ignored,
        "without holding the lock",
        (Migrate(D, C),),
        lambda number: (LockLost(Moment(1 + number % 2, "streams.send", done=True), stolen=True),),
    ),
    Mutant(
        "an abort assumed where no answer came",
        abort_assumed,
        "told that .* is not committed, and it is",
        (Migrate(D, C),),
        lambda number: (
            Lost(_COMMIT_COMES, reply=True, about="commit"),
            # The target's vote, told at the authority and at the target, and then the commit itself.
            Cut(Moment(3, "facts.transact", done=True, after_last=True), A, D, one_way=False, for_s=39.0 + number),
        ),
    ),
    Mutant("the epoch kept in a move", epoch_kept, "is due", (Migrate(D, C),)),
)
