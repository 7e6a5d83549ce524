"""The commit against the log: each thing that it relies on, taken away, one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from attrs import evolve

from ployz.errors import Code
from ployz.events.types import DeployCommitted, Lifecycle, SlotPlacement, VolumePlacement
from ployz.facts import keys
from ployz.facts.commit import Seen, commit
from ployz.facts.conflicts import explain
from ployz.facts.keys import Decision, Verdict, VolumeOwnership, Vote
from ployz.facts.memory import MemoryFactLog
from ployz.facts.port import Conflict, Put, Transaction
from ployz.facts.transactions import abort, cast_vote, change_lifecycle, remove_volume
from ployz.ids import MachineId, OperationId, ServiceName, SlotName, SlotRef, VolumeRef
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import (
    ABORTED,
    DATA,
    FINAL,
    OP,
    PRODUCTION,
    SEEN,
    SLOT,
    A,
    B,
    Migration,
    applied,
    commit_of,
    committed,
    ready_to_commit,
)

LOGS = VolumeRef.parse("production/logs")
C = MachineId("machine-c")


def run(test: Callable[[MemoryFactLog, Migration], Awaitable[None]]) -> None:
    async def main() -> None:
        log = MemoryFactLog(HandClock())
        await test(log, await ready_to_commit(log))

    anyio.run(main, backend="trio")


def commit_to(token: int, deploy: DeployCommitted, seen: Seen = SEEN, operation_id: OperationId = OP) -> Transaction:
    return commit(
        evolve(deploy, operation_id=operation_id), by=A, lock_token=token, seen=seen, final_snapshots=(FINAL,)
    )


def test_a_commit_changes_owner_epoch_decision_and_appends_the_fact_at_once() -> None:
    async def test(log: MemoryFactLog, migration: Migration) -> None:
        done = await applied(log, commit_of(migration.token))
        assert await keys.volume(DATA).read(log) == keys.Standing(VolumeOwnership(B, 2), done.revision)
        assert await keys.decision(OP).read(log) == keys.Standing(Decision(Verdict.COMMIT, A), done.revision)
        facts = await log.facts(migration.started_at, limit=9, wait_s=0)
        assert [(each.position, each.fact) for each in facts] == [(done.position, committed())]

    run(test)


async def _abort_it(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, abort(ABORTED))


async def _end_the_lock(log: MemoryFactLog, migration: Migration) -> None:
    await log.revoke(migration.lease)


async def _move_the_volume(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, Transaction((), (keys.volume(DATA).put(VolumeOwnership(C, 2)),)))


async def _give_and_take_back_the_volume(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, Transaction((), (keys.volume(DATA).put(VolumeOwnership(A, 3)),)))


async def _remove_the_volume(log: MemoryFactLog, migration: Migration) -> None:
    await applied(log, remove_volume(DATA, VolumeOwnership(A, 1), migration.token))


async def _unvote_the_source(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, Transaction((), (keys.vote(OP, A).delete(),)))


async def _unvote_the_target(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, Transaction((), (keys.vote(OP, B).delete(),)))


async def _vote_another_guid_at_the_target(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, cast_vote(OP, B, Vote((evolve(FINAL, guid=78),))))


async def _vote_another_guid_at_the_source(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, cast_vote(OP, A, Vote((evolve(FINAL, guid=78),))))


async def _drain_the_target(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, change_lifecycle(B, Lifecycle.ACTIVE, Lifecycle.DRAINING))


async def _remove_the_target(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, Transaction((), (keys.machine(B).delete(),)))


async def _forget_the_start(log: MemoryFactLog, _: Migration) -> None:
    await applied(log, Transaction((), (keys.started(OP).delete(),)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_abort_it, Code.DECIDED),
        (_end_the_lock, Code.LOCK_LOST),
        (_move_the_volume, Code.PLAN_STALE),
        (_give_and_take_back_the_volume, Code.PLAN_STALE),
        (_remove_the_volume, Code.PLAN_STALE),
        (_unvote_the_source, Code.GUID_MISMATCH),
        (_unvote_the_target, Code.GUID_MISMATCH),
        (_vote_another_guid_at_the_source, Code.GUID_MISMATCH),
        (_vote_another_guid_at_the_target, Code.GUID_MISMATCH),
        (_drain_the_target, Code.MACHINE_NOT_ACTIVE),
        (_remove_the_target, Code.UNKNOWN_MACHINE),
        (_forget_the_start, Code.CONFLICT),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else None,
)
def test_a_commit_is_refused_when_what_it_relied_on_changed(
    change: Callable[[MemoryFactLog, Migration], Awaitable[None]], code: Code
) -> None:
    async def test(log: MemoryFactLog, migration: Migration) -> None:
        await change(log, migration)
        before = await log.list("")
        outcome = await log.transact(commit_of(migration.token))
        assert isinstance(outcome, Conflict)
        problem = explain(outcome)
        assert problem.code is code
        assert problem.text
        assert problem.advice
        assert await log.list("") == before

    run(test)


def test_a_machine_that_keeps_its_slot_may_be_draining() -> None:
    async def test(log: MemoryFactLog, migration: Migration) -> None:
        await applied(log, change_lifecycle(A, Lifecycle.ACTIVE, Lifecycle.DRAINING))
        stays = evolve(
            committed(),
            slots=(evolve(SLOT, template_hash="t2", operation_id=OP),),
            volumes=(VolumePlacement(DATA, A, 1),),
        )
        await applied(log, commit_to(migration.token, stays))
        assert (standing := await keys.volume(DATA).read(log)) is not None
        assert standing.value == VolumeOwnership(A, 1)

    run(test)


def test_a_new_volume_must_be_absent_and_begins_at_epoch_one() -> None:
    async def test(log: MemoryFactLog, migration: Migration) -> None:
        creates = evolve(committed(), volumes=(*committed().volumes, VolumePlacement(LOGS, B, 1)))
        transaction = commit_to(migration.token, creates)
        assert keys.volume(LOGS).absent() in transaction.compares
        await applied(log, transaction)
        assert (standing := await keys.volume(LOGS).read(log)) is not None
        assert standing.value == VolumeOwnership(B, 1)

    run(test)


def test_a_new_slot_takes_its_addresses_and_a_slot_that_goes_gives_them_back() -> None:
    async def test(log: MemoryFactLog, migration: Migration) -> None:
        db, web = SlotRef.parse("production/db/slot-1"), SlotRef.parse("production/web/slot-1")
        await applied(log, Transaction((), (keys.address(SLOT.ipv6).put(db), keys.address(SLOT.ipv4).put(db))))
        new = evolve(_web_slot(), machine=B)
        replaces = evolve(committed(), slots=(new,))
        await applied(log, commit_to(migration.token, replaces))
        assert [key for key, _ in await log.list("address/")] == [f"address/{new.ipv4}", f"address/{new.ipv6}"]
        assert (standing := await keys.address(new.ipv6).read(log)) is not None
        assert standing.value == web

    run(test)


def _web_slot() -> SlotPlacement:
    return evolve(SLOT, service=ServiceName("web"), slot=SlotName("slot-1"), ipv6="fd00:1:0:1::6", ipv4="10.210.0.6")


def test_an_address_that_was_taken_meanwhile_is_refused() -> None:
    async def test(log: MemoryFactLog, migration: Migration) -> None:
        theirs = SlotRef.parse("staging/web/slot-1")
        await applied(log, Transaction((), (keys.address("10.210.0.6").put(theirs),)))
        adds = evolve(committed(), slots=(*committed().slots, evolve(_web_slot(), machine=B)))
        outcome = await log.transact(commit_to(migration.token, adds))
        assert isinstance(outcome, Conflict)
        assert explain(outcome).code is Code.PLAN_STALE
        assert "10.210.0.6" in explain(outcome).text

    run(test)


def test_a_kept_address_is_not_written_again() -> None:
    writes = commit_of(1).puts
    assert [write.key for write in writes if isinstance(write, Put)] == ["decision/op-1", "volume/production/data"]


def test_a_machine_votes_once_for_all_volumes_that_it_gives_or_takes() -> None:
    logs = evolve(FINAL, volume=LOGS, guid=99)
    seen = Seen({DATA: VolumeOwnership(A, 1), LOGS: VolumeOwnership(C, 4)}, (SLOT,))
    deploy = evolve(committed(), volumes=(VolumePlacement(LOGS, B, 5), VolumePlacement(DATA, B, 2)))
    transaction = commit(deploy, by=A, lock_token=1, seen=seen, final_snapshots=(logs, FINAL))
    assert [each for each in transaction.compares if each.key.startswith("vote/")] == [
        keys.vote(OP, A).is_(Vote((FINAL,))),
        keys.vote(OP, B).is_(Vote((FINAL, logs))),
        keys.vote(OP, C).is_(Vote((logs,))),
    ]


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_an_epoch_that_does_not_rise_by_one_is_a_bug(epoch: int) -> None:
    skips = evolve(committed(), volumes=(VolumePlacement(DATA, B, epoch),))
    with pytest.raises(ValueError, match="epoch"):
        commit_to(1, skips)


def test_an_epoch_that_rises_without_a_move_is_a_bug() -> None:
    rises = evolve(committed(), volumes=(VolumePlacement(DATA, A, 2),))
    with pytest.raises(ValueError, match="epoch"):
        commit_to(1, rises)


def test_a_move_without_a_final_snapshot_is_a_bug() -> None:
    with pytest.raises(ValueError, match="without a final snapshot"):
        commit(committed(), by=A, lock_token=1, seen=SEEN, final_snapshots=())


def test_the_lock_that_is_compared_is_that_of_the_namespace() -> None:
    assert keys.lock(PRODUCTION).written_by(7) in commit_of(7).compares
