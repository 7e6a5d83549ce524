"""What machines are for: made active, draining and standby, and taken out of the cluster, from any machine."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from ployz.actors.messages.distance import ShowDistances
from ployz.actors.messages.machine import ListMachines, ShowMachine
from ployz.actors.messages.membership import ChangeLifecycle, PreviewRemoval, RemoveMachine
from ployz.actors.messages.operations import ApplyMigration
from ployz.actors.messages.takeover import PreviewTakeover, TakeOverVolume
from ployz.errors import Code, Failed, PloyzError, Refused
from ployz.events.types import Lifecycle
from ployz.facts.transactions import change_lifecycle
from ployz.ids import MachineId
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.machine import endpoint
from tests.cluster.manifests import DB, PGDATA, A, B, C, manifest, service
from tests.cluster.scenes import deploy, deployed, local_addresses, running

SETTLED_S = 120.0
WEB = manifest(service("web", placement="{ replicated = { count = 3 } }"))


async def make(cluster: Cluster, machine: MachineId, lifecycle: Lifecycle, *, by: MachineId = A) -> int:
    changed = await cluster.ask(by, "membership", ChangeLifecycle(machine, lifecycle))
    assert changed.after is lifecycle
    await cluster.agreed()
    return changed.position


def lifecycle_of(cluster: Cluster, machine: MachineId, *, by: MachineId = A) -> Lifecycle:
    return cluster[by].parts.view.machines[machine].lifecycle


async def refusal(asked: Awaitable[object]) -> PloyzError:
    with pytest.raises(Refused) as caught:
        await asked
    return caught.value


# ---------------------------------------------------------------- draining, standby, active


def test_a_draining_machine_keeps_what_it_runs_and_gets_nothing_new() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, WEB)
        await make(cluster, B, Lifecycle.DRAINING, by=C)
        await deploy(cluster, manifest(service("web", placement="{ replicated = { count = 5 } }")))
        assert {name: len(slots) for name, slots in running(cluster).items()} == {A: 2, B: 1, C: 2}
        assert (await refusal(cluster.begin(A, ApplyMigration(DB, B)))).code is Code.UNKNOWN_SERVICE
        await make(cluster, B, Lifecycle.ACTIVE)
        await deploy(cluster, manifest(service("web", placement="{ replicated = { count = 6 } }")))
        assert {name: len(slots) for name, slots in running(cluster).items()} == {A: 2, B: 2, C: 2}

    simulate(body)


def test_making_a_machine_what_it_is_changes_nothing() -> None:
    async def body(cluster: Cluster) -> None:
        before = cluster.head
        assert await make(cluster, B, Lifecycle.ACTIVE) == 0
        assert cluster.head == before
        assert await make(cluster, B, Lifecycle.DRAINING) == before + 1
        assert await make(cluster, B, Lifecycle.DRAINING) == 0

    simulate(body)


def test_an_operation_that_would_bring_something_to_a_machine_made_draining_meanwhile_is_undone() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)

        async def drain(_: Effect) -> None:
            changed = await cluster.ask(C, "membership", ChangeLifecycle(B, Lifecycle.DRAINING))
            assert len(changed.operations) == 1

        cluster.effects.at(lambda each: each.machine == A and each.name == "docker.stop" and each.done, drain)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert (outcome.exit_code, outcome.result.committed) == (Failed.exit_code, False)
        assert "machine-b is draining" in outcome.text
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=SETTLED_S)

    simulate(body)


def test_standby_is_for_a_machine_that_has_nothing_and_all_that_it_has_is_listed() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        before = cluster.head
        error = await refusal(cluster.ask(B, "membership", ChangeLifecycle(A, Lifecycle.STANDBY)))
        assert error.code is Code.MACHINE_IN_USE
        assert "volume production/pgdata" in error.problem.text
        assert "service production/db/slot-1" in error.problem.text
        assert cluster.head == before
        await make(cluster, C, Lifecycle.STANDBY)
        assert lifecycle_of(cluster, C) is Lifecycle.STANDBY
        assert (await refusal(cluster.begin(A, ApplyMigration(DB, C)))).code is Code.MACHINE_NOT_ACTIVE

    simulate(body)


def test_a_machine_that_gets_something_between_the_look_and_the_fact_is_not_let_go() -> None:
    """The commit that gives it something needs it active, and whoever made it so changed its record."""

    async def body(cluster: Cluster) -> None:
        await deployed(cluster)

        async def meddle(_: Effect) -> None:
            await cluster.shared.facts.transact(change_lifecycle(B, Lifecycle.DRAINING, Lifecycle.ACTIVE))
            assert (await cluster.run(C, ApplyMigration(DB, B))).exit_code == 0
            await cluster.shared.facts.transact(change_lifecycle(B, Lifecycle.ACTIVE, Lifecycle.DRAINING))

        seen: list[Effect] = []

        def is_last_transaction(effect: Effect) -> bool:
            """On A: made draining before the look, then the removal itself."""
            if effect.machine == A and effect.name == "facts.transact" and not effect.done:
                seen.append(effect)
            return len(seen) == 2 and not effect.done and effect.name == "facts.transact" and effect.machine == A

        cluster.effects.at(is_last_transaction, meddle)
        error = await refusal(cluster.ask(A, "membership", RemoveMachine(B, force=False)))
        assert error.code is Code.CONFLICT
        assert running(cluster) == {B: ["db/slot-1"]}
        assert B in cluster[A].parts.view.machines.members

    simulate(body)


# ---------------------------------------------------------------- leaving


def test_a_machine_that_has_nothing_leaves_and_its_peer_goes_from_every_machine() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        removed = await cluster.ask(C, "membership", RemoveMachine(B, force=False))
        assert removed.lagging == ()
        for name in (A, C):
            keys = {peer.public_key for peer in cluster[name].overlay.applied[-1].peers}
            assert keys == {cluster[other].key for other in (A, C) if other != name}
        assert (await refusal(cluster.begin(A, ApplyMigration(DB, B)))).code is Code.UNKNOWN_MACHINE
        await cluster.until(lambda: cluster[B].parts.is_removed, within_s=SETTLED_S)
        assert (await cluster.ask(B, "machine", ListMachines())).removed

    simulate(body)


def test_a_machine_that_has_something_or_takes_part_in_something_is_not_removed() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        error = await refusal(cluster.ask(A, "membership", RemoveMachine(B, force=False)))
        assert error.code is Code.MACHINE_IN_USE
        found: list[PloyzError] = []

        async def remove_target(_: Effect) -> None:
            found.append(await refusal(cluster.ask(A, "membership", RemoveMachine(C, force=False))))

        cluster.effects.at(lambda each: each.machine == B and each.name == "docker.stop" and each.done, remove_target)
        assert (await cluster.run(A, ApplyMigration(DB, C))).exit_code == 0
        assert [(each.code, "not decided" in each.problem.text) for each in found] == [(Code.MACHINE_IN_USE, True)]

    simulate(body)


@pytest.mark.parametrize("force", [False, True])
def test_a_machine_that_runs_a_member_of_etcd_is_not_removed(*, force: bool) -> None:
    async def body(cluster: Cluster) -> None:
        before = cluster.head
        cluster.shared.ordering.members = [B]
        error = await refusal(cluster.ask(A, "membership", RemoveMachine(B, force=force)))
        assert (error.code, cluster.head) == (Code.AUTHORITY, before)
        assert "cluster replace machine-b" in error.problem.advice
        assert (await cluster.ask(A, "membership", RemoveMachine(C, force=False))).position > before

    simulate(body)


def test_the_founding_machine_is_not_removed_and_no_machine_is_forced_out_that_answers() -> None:
    async def body(cluster: Cluster) -> None:
        for force in (False, True):
            error = await refusal(cluster.ask(B, "membership", PreviewRemoval(A, force)))
            assert error.code is Code.AUTHORITY
        assert (await refusal(cluster.ask(A, "membership", RemoveMachine(B, force=True)))).code is Code.MACHINE_ANSWERS
        unknown = await refusal(cluster.ask(A, "membership", PreviewRemoval(MachineId("machine-z"), force=False)))
        assert unknown.code is Code.UNKNOWN_MACHINE

    simulate(body)


def test_a_machine_that_is_gone_is_forced_out_and_what_is_lost_is_said() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        for target in (C, B):
            assert (await cluster.run(A, ApplyMigration(DB, target))).exit_code == 0
        cluster.crash(B)
        plan = await cluster.ask(A, "membership", PreviewRemoval(B, force=True))
        assert [(each.volume, [copy.machine for copy in each.copies]) for each in plan.volumes] == [(PGDATA, [C])]
        assert not plan.answers
        await cluster.ask(A, "membership", RemoveMachine(B, force=True))
        taking = await cluster.ask(A, "takeover", PreviewTakeover(PGDATA, C))
        snapshots = tuple(each.snapshot for each in taking.volumes)
        await cluster.ask(A, "takeover", TakeOverVolume(PGDATA, C, snapshots), timeout_s=200)
        await cluster.until(lambda: running(cluster) == {C: ["db/slot-1"]}, within_s=SETTLED_S)

    simulate(body)


def test_what_needs_no_volume_starts_elsewhere_with_the_next_deploy_after_its_machine_was_forced_out() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, WEB)
        cluster.crash(C)
        await cluster.ask(A, "membership", RemoveMachine(C, force=True))
        await deploy(cluster, WEB)
        assert sum(len(slots) for slots in running(cluster).values()) == 3
        assert C not in running(cluster)

    simulate(body)


def test_a_machine_that_hears_of_its_removal_stops_what_it_runs_and_keeps_its_data() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        cluster.kill(B)  # ployzd alone: its container goes on
        assert running(cluster) == {B: ["db/slot-1"]}
        await cluster.ask(A, "membership", RemoveMachine(B, force=True))
        await cluster.start(B)
        await cluster.until(lambda: running(cluster) == {}, within_s=SETTLED_S, what="it stops what it runs")
        assert any(name == f"tank/ployz/{PGDATA}" for name, _ in cluster[B].zfs.contents())
        assert local_addresses(cluster, B) == frozenset()
        cluster.kill(B)
        await cluster.start(B)
        await cluster.until(lambda: cluster[B].parts.is_removed, within_s=SETTLED_S)
        assert running(cluster) == {}

    simulate(body)


def test_a_machine_that_left_can_join_again() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.ask(A, "membership", RemoveMachine(C, force=False))
        await cluster.invite(A, C, endpoint(3))
        await cluster.until(lambda: not cluster[C].parts.is_removed, within_s=SETTLED_S)
        await cluster.agreed()
        assert (await cluster.run(C, ApplyMigration(DB, C))).exit_code == 0
        assert running(cluster) == {C: ["db/slot-1"]}

    simulate(body)


# ---------------------------------------------------------------- looking


def test_a_machine_that_is_silent_was_last_seen_by_whoever_heard_from_it() -> None:
    async def body(cluster: Cluster) -> None:
        cluster.crash(C)
        rows = {each.machine: each for each in (await cluster.ask(B, "machine", ListMachines())).machines}
        assert rows[A].silent_ms == 0
        first_ms = rows[C].silent_ms
        assert first_ms > 0
        later = await cluster.ask(B, "machine", ShowMachine(C))
        assert later.row.silent_ms > first_ms

    simulate(body)


def test_what_a_machine_has_is_shown() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        detail = await cluster.ask(C, "machine", ShowMachine(A))
        assert ([str(each) for each in detail.slots], detail.volumes) == (["production/db/slot-1"], (PGDATA,))

    simulate(body)


def test_every_pair_is_measured_and_who_does_not_answer_is_named() -> None:
    async def body(cluster: Cluster) -> None:
        table = await cluster.ask(B, "distance", ShowDistances(5))
        assert len(table.rows) == 6
        assert all(200 <= each.median_us <= 5_000 and each.deviation_us < each.median_us for each in table.rows)
        cluster.crash(C)
        table = await cluster.ask(B, "distance", ShowDistances(5), timeout_s=200)
        assert table.silent == (C,)
        assert {(each.source, each.target) for each in table.rows if each.median_us < 0} == {(A, C), (B, C)}

    simulate(body)
