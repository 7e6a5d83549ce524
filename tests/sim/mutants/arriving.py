"""Mutants of the target, of what is stored, and of what is left behind."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from ployz.actors import dataset, workloads
from ployz.actors.candidates import CandidateLease
from ployz.actors.messages.workload import Withdraw
from ployz.config import CANDIDATE_LEASE_S
from ployz.events.memory_log import MemoryLog
from ployz.events.types import OperationAborted
from ployz.facts.mirror import Mirror
from ployz.host.ports import OverlayState
from ployz.ids import OperationId, SlotRef
from ployz.plan import addresses, settle
from ployz.plan.settle import by_facts
from ployz.wire.message import Done
from tests.cluster.manifests import A, B, C
from tests.sim.faults import Crash, Cut, Late, Moment, Refusing
from tests.sim.mutants.mutant import Mutant, patch
from tests.sim.orders import Abort, Migrate
from tests.sim.scenario import D


def no_lease() -> None:
    """A candidate runs for as long as nobody removes it."""

    async def unguarded(self: CandidateLease, operation_id: OperationId, slot: SlotRef, container: str) -> None:
        return None

    patch(CandidateLease, "take", unguarded)
    patch(CandidateLease, "resume", unguarded)


def started_without_reading() -> None:
    """The lease is taken, but nobody asks whether the operation is still undecided."""

    async def unread(self: CandidateLease, operation_id: OperationId, slot: SlotRef, container: str) -> None:
        lease = self._of(operation_id, self._now_s())
        await self._parts.guards.guard(container, lease.good_s + CANDIDATE_LEASE_S)
        self._hold(lease, slot, container)

    patch(CandidateLease, "take", unread)


def withdrawal_claimed() -> None:
    """The target says that its candidates are gone, and leaves them for later."""

    async def claim(self: Any, message: Withdraw) -> Done:
        return Done()

    handlers = workloads.WorkloadsActor.handlers
    claiming = evolve(handlers[Withdraw], method=claim)
    patch(workloads.WorkloadsActor, "handlers", {**handlers, Withdraw: claiming})


def opened_before_commit() -> None:
    """Whoever is on the target's machine reaches the candidate before it is committed."""
    state = addresses.overlay_state

    def open_at_once(view: Any, me: Any, **asked: Any) -> OverlayState:
        return state(view, me, **{**asked, "withheld": ()})

    patch(addresses, "overlay_state", open_at_once)


def routed_before_commit() -> None:
    """Every machine follows an operation when it starts, not when it is committed: to its participants' last."""
    state = addresses.overlay_state

    def follow(view: Any, me: Any, **asked: Any) -> OverlayState:
        made = state(view, me, **asked)
        undecided = view.operations.undecided()
        if not undecided:
            return made
        target = undecided[-1].participants[-1]
        key = view.machines.members[target].public_key
        slots = frozenset(address for _, slot in view.placement.slots() for address in (slot.ipv6, slot.ipv4))
        peers = tuple(
            evolve(each, addresses=each.addresses | slots if each.public_key == key else each.addresses - slots)
            for each in made.peers
        )
        return made if target == me else evolve(made, peers=peers, local=made.local - slots)

    patch(addresses, "overlay_state", follow)


def mirror_skips() -> None:
    """An abort is taken in, and not written down."""
    take = Mirror._take

    async def skip(self: Mirror, page: Any) -> None:
        for each in page:
            if isinstance(each.fact, OperationAborted):
                self._give(each.fact, each.position, each.hash, 0)
                self._news.spread()
            else:
                await take(self, [each])

    patch(Mirror, "_take", skip)


def not_durable() -> None:
    """What was appended last is gone with the process, although it was acknowledged."""

    def crash(self: MemoryLog) -> MemoryLog:
        self._failed = "the power went"
        return MemoryLog(self._clock, self._rows[: max(len(self._rows) - 3, 0)], self._codec)

    patch(MemoryLog, "crash", crash)


def nothing_pruned() -> None:
    """Snapshots of operations that have ended stay, with their holds."""

    def without(*args: Any, **kwargs: Any) -> Any:
        return [each for each in decide(*args, **kwargs) if not isinstance(each, settle.Prune)]

    decide = patch(by_facts, "settle_volume", without)


def partial_kept() -> None:
    """What an aborted move had received stays where it is."""
    carry_out = dataset.VolumeDataset.carry_out

    async def without(self: dataset.VolumeDataset, action: settle.VolumeAction) -> None:
        if not isinstance(action, settle.DiscardPartial):
            await carry_out(self, action)

    patch(dataset.VolumeDataset, "carry_out", without)


_ISOLATED = (
    Cut(Moment(1, "docker.start", done=True), C, A, one_way=False, for_s=90.0),
    Cut(Moment(1, after_last=True), C, B, one_way=False, for_s=90.0),
    Cut(Moment(1, after_last=True), C, D, one_way=False, for_s=90.0),
)

MUTANTS = (
    Mutant(
        "a candidate without a lease", no_lease, "writers on several machines", (Migrate(D, C),), lambda _: _ISOLATED
    ),
    Mutant(
        "a candidate started without reading that it is undecided",
        started_without_reading,
        "writers on several machines",
        (Migrate(D, C), Abort(A, Moment(7, "facts.transact", done=False))),
        lambda _: (
            Cut(Moment(1, "zfs.rollback", done=True), A, C, one_way=False, for_s=60.0),
            Late(Moment(1, after_last=True), reply=False, late_s=25.0, about="workload.start"),
        ),
    ),
    Mutant(
        "a withdrawal that is only claimed",
        withdrawal_claimed,
        "writers on several machines",
        (Migrate(D, C), Abort(A, Moment(1, "docker.start", done=True))),
        lambda number: (Refusing(Moment(1, "docker.start", done=True), C, "docker", 6 + number),),
    ),
    Mutant("an address opened before the commit", opened_before_commit, "answers .* openly", (Migrate(D, C),)),
    Mutant("an address routed before the commit", routed_before_commit, "sends .* to", (Migrate(D, C),)),
    Mutant(
        "a mirror that skips a position",
        mirror_skips,
        "mirrors fact",
        (Migrate(D, C), Abort(A, Moment(150)), Migrate(A, C)),
    ),
    Mutant(
        "an append that is not durable",
        not_durable,
        "its log lost",
        (Migrate(D, C),),
        lambda number: (Crash(Moment(10 + number, "log.append", done=True), None, power=True, down_s=1.0),),
    ),
    Mutant("snapshots that nobody removes", nothing_pruned, "snapshots of .* that nothing needs", (Migrate(D, C),)),
    Mutant(
        "an unfinished copy that nobody removes",
        partial_kept,
        "has a copy of",
        (Migrate(D, C), Abort(A, Moment(1, "streams.send", done=True))),
    ),
)
