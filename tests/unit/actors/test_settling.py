"""Agreeing with the facts: late, twice, and when two machines wait for each other."""

from __future__ import annotations

import anyio
import pytest

from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration
from ployz.actors.messages.services import ShowService
from ployz.actors.messages.workload import Settle, Withdraw
from ployz.errors import Code, Failed, Refused
from ployz.events.memory_log import MemoryLog
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import D, commit, commit_of, ends, moving, on
from tests.cluster.manifests import DB, PRODUCTION, A, B, C, manifest, service, volume
from tests.cluster.scenes import (
    add_image,
    dataset,
    datasets,
    deploy,
    deployed,
    running,
)
from tests.cluster.snapshots import MemoryCompactions, MemorySnapshots


def test_a_machine_that_takes_the_facts_late_settles_late() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut(effect: Effect) -> None:
            cluster.network.cut(A, B)
            cluster.network.cut(B, D)

        cluster.effects.at(on(D, commit, done=True), cut)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert (outcome.exit_code, outcome.result.committed) == (4, True), outcome.text
        assert "machine-b" in outcome.text
        assert running(cluster) == {C: ["db/slot-1"]}
        state = await cluster[B].zfs.state(dataset())
        assert state is not None
        assert state.readonly
        cluster.network.heal(A, B)
        cluster.network.heal(B, D)
        assert await ends(cluster, outcome.operation_id) is Status.COMMITTED

    simulate(body, machines=4)


def test_the_service_of_a_volume_that_was_replaced_by_hand_stays_down_and_does_not_move() -> None:
    """An empty dataset of its name is not the volume: a service that ran on it would lose everything that it had."""

    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster.crash(B)
        await cluster[B].disk.zfs.destroy(dataset())
        await cluster[B].disk.zfs.create(dataset(), {})
        await cluster.boot(B)
        await anyio.sleep(120)
        assert running(cluster) == {}
        state = await cluster.ask(A, "services", ShowService(DB))
        assert [each.state for each in state.slots] == ["exited (255)"]
        with pytest.raises(Refused, match="nothing proves that it is the volume"):
            await cluster.begin(D, ApplyMigration(DB, C))
        again = manifest(volume(), service(volumes=("pgdata",), command="again"))
        outcome = await cluster.run(D, ApplyDeploy(again))
        assert (outcome.exit_code, outcome.result.committed) == (3, False), outcome.text
        assert running(cluster) == {}
        assert datasets(cluster, C) == []

    simulate(body, machines=4)


def test_facts_that_do_not_name_the_machine_yet_remove_nothing() -> None:
    """A log that was lost says of everything here that nobody placed it."""

    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        before = running(cluster)
        assert before[B] == ["db/slot-1"]
        cluster.kill(B)
        disk = cluster[B].disk
        disk.log, disk.snapshots, disk.compactions = (
            MemoryLog(cluster.shared.clock),
            MemorySnapshots(),
            MemoryCompactions(),
        )
        for other in (A, C, D):
            cluster.network.cut(B, other)
        await cluster.start(B)
        await anyio.sleep(120)
        assert running(cluster) == before
        assert datasets(cluster, B) != []
        for other in (A, C, D):
            cluster.network.heal(B, other)
        await cluster.agreed()
        await anyio.sleep(60)
        assert running(cluster) == before

    simulate(body, machines=4)


def test_settling_twice_equals_settling_once() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        await cluster.run(D, ApplyMigration(DB, C))
        await anyio.sleep(30)
        seen = len(cluster.effects.seen)
        for machine in cluster.machines.values():
            for _ in range(2):
                await machine.system.ref(f"workload/{PRODUCTION}").ask(Settle(cluster.head), timeout_s=60)
        changing = ("create", "set", "destroy", "snapshot", "mount", "unmount", "start", "stop", "remove", "append")
        done = [each for each in cluster.effects.seen[seen:] if each.name.partition(".")[2] in changing]
        assert done == []
        assert running(cluster) == {C: ["db/slot-1"]}

    simulate(body, machines=4)


def test_a_withdrawal_of_an_operation_that_is_not_aborted_removes_nothing() -> None:
    async def body(cluster: Cluster) -> None:
        outcome = await deployed(cluster)
        ref = cluster[B].system.remote(A, "workloads")
        await ref.ask(Withdraw(outcome.operation_id, outcome.result.position), timeout_s=10)
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body)


def test_two_services_that_change_places_both_come_back_after_an_abort() -> None:
    """Each machine asks the other one for its candidate, and neither waits for the other's answer."""

    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        text = manifest(
            volume("one"), volume("two"), service("first", volumes=("one",)), service("second", volumes=("two",))
        )
        await deploy(cluster, text)
        places = {slots[0]: name for name, slots in running(cluster).items()}
        x, y = places["first/slot-1"], places["second/slot-1"]
        swap = (
            f'volumes = [{{ volume = "one", move = {{ from_machine = "{x}", to_machine = "{y}" }} }},'
            f' {{ volume = "two", move = {{ from_machine = "{y}", to_machine = "{x}" }} }}]\n'
            f'services = [{{ service = "first", move = {{ to_machine = "{y}" }} }},'
            f' {{ service = "second", move = {{ to_machine = "{x}" }} }}]\n'
        )
        cluster.network.lose(commit_of, reply=False)
        outcome = await cluster.run(C, ApplyDeploy(text + "[intent]\n" + swap))
        assert outcome.exit_code == 3, outcome.text
        assert running(cluster) == {x: ["first/slot-1"], y: ["second/slot-1"]}
        assert outcome.result.duration_ms < 20_000
        again = await cluster.run(C, ApplyDeploy(text + "[intent]\n" + swap))
        assert again.exit_code == 0, again.text
        assert running(cluster) == {y: ["first/slot-1"], x: ["second/slot-1"]}

    simulate(body)


def test_a_pool_that_does_not_answer_when_ployzd_starts_is_asked_again_until_it_does() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.crash(A)
        for name in ("zfs.children", "zfs.state", "zfs.mount"):
            cluster.effects.fail(A, name, Failed(Code.PART_FAILED, "the pool is suspended"), times=25)
        await cluster.boot(A)
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=300, what="it runs again")
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text

    simulate(body)
