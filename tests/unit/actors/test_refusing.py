"""What is refused before anything changes: exit 1, and no trace of it anywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration, PreviewMigration
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import Lifecycle
from ployz.facts import keys
from ployz.facts.keys import LockHolder
from ployz.facts.lock import hold
from ployz.facts.transactions import change_lifecycle
from ployz.host.ports import Holder
from ployz.ids import MachineId, OperationId, ServiceRef
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DATABASE, DB, PRODUCTION, A, B, C
from tests.cluster.scenes import dataset, deployed, running, starts

CHANGING = (
    *("create", "set", "destroy", "snapshot", "destroy_snapshot", "hold", "release", "rollback", "mount", "unmount"),
    *("start", "stop", "remove", "tag", "pull", "send", "apply"),
)


def changes(cluster: Cluster, since: int) -> list[Effect]:
    """What was done to any machine: looking and locking change nothing."""
    parts = ("zfs.", "docker.", "streams.", "overlay.")
    return [
        effect
        for effect in cluster.effects.seen[since:]
        if effect.name.startswith(parts) and effect.name.partition(".")[2] in CHANGING
    ]


async def assert_refused(cluster: Cluster, code: Code, apply: Callable[[], Awaitable[object]]) -> PloyzError:
    """By the answer to the command itself, or as the result of what was accepted."""
    head, seen = cluster.head, len(cluster.effects.seen)
    with pytest.raises(Refused) as refusal:
        await apply()
    assert refusal.value.code == code, refusal.value
    assert changes(cluster, seen) == []
    assert cluster.head == head
    assert running(cluster) == {A: ["db/slot-1"]}
    assert starts(cluster, A) == ["a"]
    return refusal.value


def refused(code: Code, arrange: Callable[[Cluster], object], *, to: MachineId = B, service: ServiceRef = DB) -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        arranged = arrange(cluster)
        if isinstance(arranged, Awaitable):
            await arranged
        await assert_refused(cluster, code, lambda: cluster.begin(A, ApplyMigration(service, to)))

    simulate(body)


def nothing(cluster: Cluster) -> None:
    """It is refused as it is."""


def test_an_unknown_service_is_refused() -> None:
    refused(Code.UNKNOWN_SERVICE, nothing, service=ServiceRef.parse("production/nothing"))


def test_an_unknown_machine_is_refused() -> None:
    refused(Code.UNKNOWN_MACHINE, nothing, to=MachineId("machine-z"))


def test_a_service_that_is_there_already_is_refused() -> None:
    refused(Code.ALREADY_THERE, nothing, to=A)


def test_a_target_that_is_draining_is_refused() -> None:
    async def drain(cluster: Cluster) -> None:
        await cluster.shared.facts.transact(change_lifecycle(B, Lifecycle.ACTIVE, Lifecycle.DRAINING))
        await cluster.agreed()

    refused(Code.MACHINE_NOT_ACTIVE, drain)


def test_a_target_that_does_not_answer_is_refused() -> None:
    refused(Code.MACHINE_UNREACHABLE, lambda cluster: cluster.crash(B))


def test_a_source_that_the_coordinator_does_not_reach_is_refused() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.network.cut(C, A)
        await assert_refused(cluster, Code.MACHINE_UNREACHABLE, lambda: cluster.begin(C, ApplyMigration(DB, B)))

    simulate(body)


def test_source_and_target_between_which_large_packets_are_lost_are_refused() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.network.packet_bytes = {frozenset({A, B}): 1340}
        error = await assert_refused(cluster, Code.MACHINE_UNREACHABLE, lambda: cluster.begin(C, ApplyMigration(DB, B)))
        assert "packets of 1420 bytes are lost between machine-a and machine-b" in error.problem.text
        assert "ployzctl machine set machine-b mtu=1328" in error.problem.advice

    simulate(body)


def test_source_and_target_that_do_not_reach_each_other_are_refused() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.network.cut(A, B)
        preview = await cluster.ask(C, "operations", PreviewMigration(DB, B))
        assert [each.code for each in preview.plan.blockers] == [Code.MACHINE_UNREACHABLE]
        error = await assert_refused(cluster, Code.MACHINE_UNREACHABLE, lambda: cluster.begin(C, ApplyMigration(DB, B)))
        assert "machine-a does not reach machine machine-b" in error.problem.text
        cluster.network.heal(A, B)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text

    simulate(body)


def test_a_dataset_of_unknown_origin_in_the_way_is_refused() -> None:
    refused(Code.DATASET_IN_THE_WAY, lambda cluster: cluster[B].zfs.create(dataset(), {}))


def test_a_dataset_that_a_stranger_uses_is_refused_with_the_name_of_the_process() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].zfs.use(dataset(), Holder(4711, "vim", None, "has the file /pgdata/notes open"))
        error = await assert_refused(cluster, Code.DATASET_BUSY, lambda: cluster.begin(A, ApplyMigration(DB, B)))
        assert "4711" in error.problem.text
        assert "vim" in error.problem.text

    simulate(body)


def test_a_target_without_the_space_is_refused() -> None:
    async def fill(cluster: Cluster) -> None:
        cluster[A].zfs.write(dataset(), "big", bytes(4 << 20))
        await cluster[B].zfs.create("tank/other", {})
        await cluster[B].zfs.mount("tank/other", "/other", readonly=False)
        cluster[B].zfs.write("tank/other", "fill", bytes((1 << 30) - (2 << 20)))

    refused(Code.NO_SPACE, fill)


def test_several_blockers_are_told_all_at_once() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].zfs.use(dataset(), Holder(4711, "vim", None, "has the file /pgdata/notes open"))
        await cluster[B].zfs.create(dataset(), {})
        error = await assert_refused(cluster, Code.BLOCKED, lambda: cluster.begin(A, ApplyMigration(DB, B)))
        assert "dataset-busy" in error.problem.text
        assert "dataset-in-the-way" in error.problem.text
        preview = await cluster.ask(A, "operations", PreviewMigration(DB, B))
        assert {each.code for each in preview.plan.blockers} == {Code.DATASET_BUSY, Code.DATASET_IN_THE_WAY}

    simulate(body)


def test_a_lock_that_another_holds_is_refused_with_its_holder() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        operation_id = OperationId.make(0, b"123456")
        holder = LockHolder(C, operation_id, "deploy production", 0, "somebody")
        head, seen = cluster.head, len(cluster.effects.seen)
        async with hold(cluster.shared.facts, cluster.shared.clock, PRODUCTION, holder):
            outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert (outcome.exit_code, outcome.result.problem and outcome.result.problem.code) == (1, Code.LOCK_HELD)
        assert "machine-c" in outcome.text
        assert "deploy production" in outcome.text
        assert changes(cluster, seen) == []
        assert cluster.head == head

    simulate(body)


def test_a_plan_that_went_stale_while_it_waited_for_the_lock_is_refused() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)

        async def another(effect: Effect) -> None:
            outcome = await cluster.run(C, ApplyMigration(DB, C))
            assert outcome.exit_code == 0, outcome.text

        cluster.effects.at(lambda effect: effect.machine == B and effect.name == "facts.grant", another)
        outcome = await cluster.run(B, ApplyMigration(DB, B))
        assert (outcome.exit_code, outcome.result.problem and outcome.result.problem.code) == (1, Code.PLAN_STALE)
        assert "machine-c" in outcome.text
        assert running(cluster) == {C: ["db/slot-1"]}
        assert len(cluster[A].parts.view.operations.all) == 2

    simulate(body)


def test_of_two_operators_at_once_one_is_refused() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcomes = []

        async def migrate(by: MachineId, to: MachineId) -> None:
            outcomes.append(await cluster.run(by, ApplyMigration(DB, to)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(migrate, B, B)
            tasks.start_soon(migrate, C, C)
        assert sorted(each.exit_code for each in outcomes) == [0, 1]
        (winner,) = [each for each in outcomes if each.exit_code == 0]
        assert winner.result.plan is not None
        target = winner.result.plan.slots[0].machine
        assert running(cluster) == {target: ["db/slot-1"]}
        assert await keys.lock(PRODUCTION).read(cluster.shared.facts) is None

    simulate(body)


def test_a_manifest_that_is_wrong_is_refused_with_every_mistake() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        wrong = DATABASE.replace('volume = "pgdata"', 'volume = "pgdta"').replace("count = 1", "count = 0")
        error = await assert_refused(cluster, Code.INVALID_MANIFEST, lambda: cluster.begin(A, ApplyDeploy(wrong)))
        assert "pgdta" in error.problem.text
        assert "count" in error.problem.text

    simulate(body)
