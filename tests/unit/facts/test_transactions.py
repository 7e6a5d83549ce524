"""Each builder on a log: applied when all is as it says, refused, in words, when one thing is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest
from attrs import evolve

from ployz.errors import Code, Problem
from ployz.events.types import (
    Lifecycle,
    MachineLifecycleChanged,
    MachineRemoved,
    MachineSettingChanged,
    SnapshotTaken,
    VolumePlacement,
    VolumeRemoved,
    VolumeTakenOver,
)
from ployz.facts import keys
from ployz.facts.conflicts import explain
from ployz.facts.keys import VolumeOwnership
from ployz.facts.memory import MemoryFactLog
from ployz.facts.port import Absent, Conflict, Transaction
from ployz.facts.transactions import (
    abort,
    cast_vote,
    change_lifecycle,
    forestall,
    remove_machine,
    remove_volume,
    rest_machine,
    set_machine,
    start_operation,
    take_over,
)
from ployz.ids import ClusterName, MachineId, OperationId, VolumeRef
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import (
    ABORTED,
    DATA,
    FINAL,
    FOUNDED,
    OP,
    A,
    B,
    Migration,
    applied,
    commit_of,
    founding,
    identified,
    joined,
    joining,
    ready_to_commit,
    started,
    take_lock,
)


def run(test: Callable[[MemoryFactLog], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(MemoryFactLog(HandClock()))

    anyio.run(main, backend="trio")


async def refusal(log: MemoryFactLog, transaction: Transaction) -> Problem:
    before = await log.list(""), await log.facts(0, limit=99, wait_s=0)
    outcome = await log.transact(transaction)
    assert isinstance(outcome, Conflict), outcome
    assert (await log.list(""), await log.facts(0, limit=99, wait_s=0)) == before
    problem = explain(outcome)
    assert problem.advice
    return problem


async def last_fact(log: MemoryFactLog) -> object:
    return (await log.facts(0, limit=99, wait_s=0))[-1].fact


def test_a_cluster_is_founded_once_with_its_founder_as_its_first_machine() -> None:
    async def test(log: MemoryFactLog) -> None:
        await applied(log, founding(A))
        assert [each.fact for each in await log.facts(0, limit=9, wait_s=0)] == [FOUNDED, joined(A, 1), identified(A)]
        again = await refusal(log, founding(B, evolve(FOUNDED, cluster=ClusterName("other"))))
        assert (again.code, "home" in again.text) == (Code.CONFLICT, True)

    run(test)


def test_a_machine_joins_the_cluster_that_it_was_invited_to_under_a_free_name_and_number() -> None:
    async def test(log: MemoryFactLog) -> None:
        assert (await refusal(log, joining(B, 2))).code is Code.CONFLICT  # nothing is founded
        await applied(log, founding(A))
        assert (await refusal(log, joining(B, 2, ClusterName("other")))).code is Code.CONFLICT
        assert (await refusal(log, joining(A, 2))).code is Code.MACHINE_EXISTS
        assert "number 1" in (await refusal(log, joining(B, 1))).text
        await applied(log, joining(B, 2, lifecycle=Lifecycle.STANDBY))
        assert await last_fact(log) == identified(B)

    run(test)


def test_a_lifecycle_changes_only_from_what_the_operator_saw() -> None:
    async def test(log: MemoryFactLog) -> None:
        await applied(log, founding(A))
        drain = change_lifecycle(A, Lifecycle.ACTIVE, Lifecycle.DRAINING)
        await applied(log, drain)
        assert await last_fact(log) == MachineLifecycleChanged(A, Lifecycle.DRAINING)
        assert (await refusal(log, drain)).text == "machine machine-a is draining now"
        unknown = change_lifecycle(MachineId("machine-z"), Lifecycle.ACTIVE, Lifecycle.DRAINING)
        assert (await refusal(log, unknown)).code is Code.UNKNOWN_MACHINE

    run(test)


async def revision_of(log: MemoryFactLog, machine: MachineId) -> int:
    standing = await keys.machine(machine).read(log)
    assert standing is not None
    return standing.revision


def test_a_machine_rests_only_if_its_record_is_the_one_that_was_looked_at() -> None:
    async def test(log: MemoryFactLog) -> None:
        await applied(log, founding(A))
        await applied(log, change_lifecycle(A, Lifecycle.ACTIVE, Lifecycle.DRAINING))
        looked_at = await revision_of(log, A)
        await applied(log, change_lifecycle(A, Lifecycle.DRAINING, Lifecycle.ACTIVE))
        await applied(log, change_lifecycle(A, Lifecycle.ACTIVE, Lifecycle.DRAINING))
        refused = await refusal(log, rest_machine(A, looked_at))
        assert (refused.code, refused.text) == (Code.CONFLICT, "machine machine-a was made draining meanwhile")
        await applied(log, rest_machine(A, await revision_of(log, A)))
        assert await last_fact(log) == MachineLifecycleChanged(A, Lifecycle.STANDBY)

    run(test)


def test_a_removed_machine_leaves_its_name_and_its_number_free() -> None:
    async def test(log: MemoryFactLog) -> None:
        await applied(log, founding(A))
        await applied(log, joining(B, 2))
        revision = await revision_of(log, B)
        assert (await refusal(log, remove_machine(B, 2, revision - 1))).code is Code.CONFLICT
        await applied(log, remove_machine(B, 2, revision))
        assert await last_fact(log) == MachineRemoved(B)
        assert (await refusal(log, remove_machine(B, 2, revision))).code is Code.UNKNOWN_MACHINE
        await applied(log, joining(MachineId("machine-d"), 2))
        await applied(log, joining(B, 3))

    run(test)


def test_an_operation_starts_once_and_only_under_its_lock() -> None:
    async def test(log: MemoryFactLog) -> None:
        assert (await refusal(log, start_operation(started(1)))).code is Code.LOCK_LOST
        lease, token = await take_lock(log)
        lost = await refusal(log, start_operation(started(token + 1)))
        assert lost.code is Code.LOCK_LOST
        assert "machine-a" in lost.text
        await applied(log, start_operation(started(token)))
        assert await last_fact(log) == started(token)
        assert (await refusal(log, start_operation(started(token)))).code is Code.CONFLICT
        await log.revoke(lease)
        assert (await refusal(log, start_operation(started(token, OperationId("op-2"))))).code is Code.LOCK_LOST

    run(test)


def test_a_vote_may_be_cast_again_until_the_operation_is_decided() -> None:
    async def test(log: MemoryFactLog) -> None:
        migration: Migration = await ready_to_commit(log)
        await applied(log, cast_vote(OP, A, keys.Vote((FINAL,))))
        await applied(log, commit_of(migration.token))
        decided = await refusal(log, cast_vote(OP, A, keys.Vote((FINAL,))))
        assert decided.code is Code.DECIDED
        assert "commit by machine-a" in decided.text

    run(test)


@pytest.mark.parametrize("first", [abort, forestall])
@pytest.mark.parametrize("second", [abort, forestall])
def test_of_two_ends_of_one_operation_only_the_first_is_applied(
    first: Callable[..., Transaction], second: Callable[..., Transaction]
) -> None:
    async def test(log: MemoryFactLog) -> None:
        _, token = await take_lock(log)
        if first is abort:
            await applied(log, start_operation(started(token)))
        await applied(log, first(ABORTED))
        assert (await refusal(log, second(evolve(ABORTED, by=B)))).code is Code.DECIDED

    run(test)


def test_what_was_started_is_not_forestalled_and_what_was_not_is_not_aborted() -> None:
    async def test(log: MemoryFactLog) -> None:
        _, token = await take_lock(log)
        assert (await refusal(log, abort(ABORTED))).code is Code.CONFLICT
        await applied(log, start_operation(started(token)))
        assert (await refusal(log, forestall(ABORTED))).code is Code.CONFLICT

    run(test)


def test_a_volume_is_removed_under_the_lock_as_the_operator_saw_it() -> None:
    async def test(log: MemoryFactLog) -> None:
        seen = VolumeOwnership(A, 3)
        await applied(log, Transaction((), (keys.volume(DATA).put(seen),)))
        assert (await refusal(log, remove_volume(DATA, seen, 1))).code is Code.LOCK_LOST
        _, token = await take_lock(log)
        stale = await refusal(log, remove_volume(DATA, VolumeOwnership(A, 2), token))
        assert stale.text == "volume production/data changed since the plan: now machine-a owns it, at epoch 3"
        missing = await refusal(log, remove_volume(VolumeRef.parse("production/logs"), seen, token))
        assert "does not exist" in missing.text
        await applied(log, remove_volume(DATA, seen, token))
        assert await keys.volume(DATA).read(log) is None
        assert await last_fact(log) == VolumeRemoved(DATA)

    run(test)


def test_a_takeover_is_of_what_was_shown_under_the_lock_and_to_an_active_machine() -> None:
    async def test(log: MemoryFactLog) -> None:
        await applied(log, founding(A))
        seen = {DATA: VolumeOwnership(B, 3)}
        await applied(log, Transaction((), (keys.volume(DATA).put(seen[DATA]),)))
        taken = VolumeTakenOver(
            operation_id=OP,
            namespace=DATA.namespace,
            by=A,
            from_machine=B,
            volumes=(VolumePlacement(DATA, A, 4),),
            snapshots=(SnapshotTaken(DATA, "ployz-op-1-2", 7),),
            slots=(),
        )
        assert (await refusal(log, take_over(taken, seen, 1))).code is Code.LOCK_LOST
        _, token = await take_lock(log)
        stale = await refusal(log, take_over(taken, {DATA: VolumeOwnership(B, 2)}, token))
        assert stale.code is Code.PLAN_STALE
        to_nobody = evolve(taken, volumes=(VolumePlacement(DATA, MachineId("machine-x"), 4),))
        assert (await refusal(log, take_over(to_nobody, seen, token))).code is Code.UNKNOWN_MACHINE
        await applied(log, take_over(taken, seen, token))
        owner = await keys.volume(DATA).read(log)
        assert owner is not None
        assert owner.value == VolumeOwnership(A, 4)
        assert await last_fact(log) == taken
        assert (await refusal(log, take_over(taken, seen, token))).code is Code.DECIDED

    run(test)


def test_a_conflict_about_an_unknown_kind_of_record_still_has_words() -> None:
    problem = explain(Conflict(Absent("riddle/x"), b"1"))
    assert (problem.code, "riddle/x" in problem.text) == (Code.CONFLICT, True)


def test_a_setting_is_a_fact_about_a_member() -> None:
    async def test(log: MemoryFactLog) -> None:
        await applied(log, founding(A))
        changed = MachineSettingChanged(A, "gateway", "on")
        await applied(log, set_machine(Lifecycle.ACTIVE, [changed]))
        assert await last_fact(log) == changed
        stranger = MachineSettingChanged(B, "gateway", "on")
        assert (await refusal(log, set_machine(Lifecycle.ACTIVE, [stranger]))).code == Code.UNKNOWN_MACHINE

    run(test)
