"""Operations as operators see and end them from any machine, whichever coordinates them."""

from __future__ import annotations

import anyio
import pytest

from ployz.actors.messages.operations import (
    AbortOperation,
    ApplyMigration,
    ListDeploys,
    ListOperations,
    ResumeOperation,
    ShowDeploy,
    WatchOperation,
)
from ployz.actors.messages.workload import Settle
from ployz.errors import CleanupPending, Code, Refused, Unreachable
from ployz.ids import OperationId
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, A, B, C
from tests.cluster.scenes import datasets, deployed, left_by, owner, running

RESOLVED_S = 120.0


async def stuck(cluster: Cluster) -> OperationId:
    """A migration from A to B that C coordinates, and whose first send goes on for ever."""
    await deployed(cluster)
    hangs = anyio.Event()

    async def hang(_: Effect) -> None:
        await hangs.wait()

    cluster.effects.at(lambda effect: effect.machine == A and effect.name == "streams.send" and not effect.done, hang)
    operation_id = await cluster.begin(C, ApplyMigration(DB, B))
    await cluster.until(
        lambda: any(effect.name == "streams.send" for effect in cluster.effects.seen), within_s=10, what="it sends"
    )
    return operation_id


async def phase(cluster: Cluster, operation_id: OperationId) -> str:
    listed = await cluster.ask(B, "operations", ListOperations(20))
    assert listed.operations[0].deploy.operation_id == operation_id  # undecided ones first
    return listed.operations[0].phase


async def undone(cluster: Cluster, operation_id: OperationId) -> None:
    view = cluster[A].parts.view
    await cluster.until(
        lambda: view.operations.status(operation_id) is Status.ABORTED and datasets(cluster, B) == [],
        within_s=RESOLVED_S,
        what="it is aborted and undone",
    )
    assert running(cluster) == {A: ["db/slot-1"]}
    assert owner(cluster) == (A, 1)


def test_any_machine_says_which_phase_an_operation_is_in() -> None:
    async def body(cluster: Cluster) -> None:
        operation_id = await stuck(cluster)
        assert await phase(cluster, operation_id) == "pre-copy"
        shown = await cluster.ask(A, "operations", ShowDeploy(operation_id))
        assert shown.now == "in phase pre-copy on machine-c"

    simulate(body)


def test_an_operation_is_watched_on_any_machine() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        outcome = await cluster.watch(A, operation_id)
        assert (outcome.exit_code, outcome.result.committed) == (0, True)
        assert outcome.progress[0].phase == "lock"

    simulate(body)


def test_an_operation_whose_coordinator_is_gone_says_who_will_decide_it() -> None:
    async def body(cluster: Cluster) -> None:
        operation_id = await stuck(cluster)
        cluster.crash(C)
        with pytest.raises(Refused) as refusal:
            await cluster.ask(B, "operations", WatchOperation(operation_id, 0, 1.0))
        assert refusal.value.code is Code.NOT_HERE
        for words in ("is undecided", "machine-c does not answer", "machine-a, machine-b, machine-c", "30 s"):
            assert words in refusal.value.problem.text
        assert await phase(cluster, operation_id) == "unknown"
        await undone(cluster, operation_id)

    simulate(body)


def test_an_operation_that_nobody_knows_is_refused() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        for message in (WatchOperation(OperationId("op-1"), 0, 1.0), AbortOperation(OperationId("op-1"))):
            with pytest.raises(Refused) as refusal:
                await cluster.ask(B, "operations", message)
            assert refusal.value.code is Code.UNKNOWN_DEPLOY

    simulate(body)


def test_an_abort_from_another_machine_ends_the_coordinator_at_once() -> None:
    async def body(cluster: Cluster) -> None:
        operation_id = await stuck(cluster)
        began_s = anyio.current_time()
        aborted = await cluster.ask(B, "operations", AbortOperation(operation_id))
        assert aborted.row.status is Status.ABORTED
        outcome = await cluster.watch(C, operation_id)
        assert anyio.current_time() - began_s < 5
        assert (outcome.exit_code, outcome.result.committed) == (3, False)
        assert outcome.result.problem is not None
        assert outcome.result.problem.code is Code.DECIDED
        assert "machine-b: an operator asked for it" in outcome.text
        await undone(cluster, operation_id)
        for machine in (A, B, C):
            assert left_by(cluster, machine, operation_id) == []

    simulate(body)


def test_an_abort_in_the_cut_over_starts_the_service_where_it_was() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        reached = anyio.Event()

        async def wait(_: Effect) -> None:
            reached.set()
            await anyio.sleep(20)

        cluster.effects.at(lambda effect: effect.machine == B and effect.name == "docker.start" and effect.done, wait)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await reached.wait()
        await cluster.ask(A, "operations", AbortOperation(operation_id))
        outcome = await cluster.watch(C, operation_id)
        assert outcome.exit_code == 3
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=RESOLVED_S)
        await undone(cluster, operation_id)

    simulate(body)


def test_what_is_decided_is_not_aborted() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        head = cluster.head
        with pytest.raises(Refused) as refusal:
            await cluster.ask(C, "operations", AbortOperation(outcome.operation_id))
        assert refusal.value.code is Code.DECIDED
        assert "committed" in refusal.value.problem.text
        assert cluster.head == head

    simulate(body)


def test_a_resume_begins_an_aborted_migration_again_on_its_coordinator() -> None:
    async def body(cluster: Cluster) -> None:
        operation_id = await stuck(cluster)
        await cluster.ask(B, "operations", AbortOperation(operation_id))
        await cluster.watch(C, operation_id)
        resumed = await cluster.ask(A, "operations", ResumeOperation(operation_id))
        assert (resumed.again_on, resumed.row.status) == (C, Status.ABORTED)
        assert resumed.again is not None
        assert (await cluster.watch(A, resumed.again)).exit_code == 0
        assert owner(cluster) == (B, 2)

    simulate(body)


def test_a_resume_aborts_what_a_restarted_coordinator_abandoned_and_begins_it_again() -> None:
    async def body(cluster: Cluster) -> None:
        operation_id = await stuck(cluster)
        cluster.kill(C)
        with pytest.raises(Unreachable) as nobody:
            await cluster.ask(A, "operations", ResumeOperation(operation_id))
        assert "operation abort" in nobody.value.problem.advice
        await cluster.start(C)
        assert await phase(cluster, operation_id) == "abandoned"
        resumed = await cluster.ask(A, "operations", ResumeOperation(operation_id))
        assert resumed.again is not None
        assert (await cluster.watch(A, resumed.again)).exit_code == 0
        assert owner(cluster) == (B, 2)

    simulate(body)


def test_what_goes_on_is_not_resumed() -> None:
    async def body(cluster: Cluster) -> None:
        operation_id = await stuck(cluster)
        with pytest.raises(Refused) as refusal:
            await cluster.ask(A, "operations", ResumeOperation(operation_id))
        assert "is going on" in refusal.value.problem.text

    simulate(body)


def test_an_aborted_operation_is_not_begun_again_over_a_later_change() -> None:
    async def body(cluster: Cluster) -> None:
        operation_id = await stuck(cluster)
        await cluster.ask(C, "operations", AbortOperation(operation_id))
        await cluster.watch(C, operation_id)
        assert (await cluster.run(A, ApplyMigration(DB, C))).exit_code == 0
        with pytest.raises(Refused) as refusal:
            await cluster.ask(C, "operations", ResumeOperation(operation_id))
        assert refusal.value.code is Code.PLAN_STALE

    simulate(body)


def test_a_resume_finishes_the_clean_up_of_what_is_committed() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.network.lose(lambda packet: isinstance(packet.message, Settle), reply=False)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == CleanupPending.exit_code
        assert outcome.result.problem is not None
        assert f"operation resume {outcome.operation_id}" in outcome.result.problem.advice
        resumed = await cluster.ask(A, "operations", ResumeOperation(outcome.operation_id))
        assert (resumed.again, resumed.row.status) == (None, Status.COMMITTED)
        assert running(cluster) == {B: ["db/slot-1"]}

    simulate(body)


def test_the_list_of_deploys_is_what_it_was() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.run(A, ApplyMigration(DB, B))
        deploys = (await cluster.ask(A, "operations", ListDeploys(20))).deploys
        rows = (await cluster.ask(A, "operations", ListOperations(20))).operations
        assert [row.deploy for row in rows] == list(deploys)
        assert {row.phase for row in rows} == {""}

    simulate(body)
