from __future__ import annotations

import pytest
from attrs import evolve

from ployz.errors import Code
from ployz.events.types import OperationKind
from ployz.ids import MachineId, Namespace, SlotRef, VolumeRef
from ployz.manifest import parse
from ployz.plan.assign import assign
from ployz.plan.deploy import moves, questions
from ployz.plan.model import Change, Plan, VolumePlan
from ployz.plan.reports import HolderReport, MachineReport, SnapshotReport, Unanswered, common_base
from tests.unit.plan.examples import (
    GIB,
    MOVE_DB,
    PGDATA,
    POSTGRES,
    POSTGRES_ID,
    A,
    B,
    C,
    World,
    changes,
    cluster,
    codes,
    dataset,
    intent,
    operation,
    planned,
    postgres,
    report,
    service,
    volumes,
)

MIGRATION = POSTGRES + MOVE_DB
PSQL = HolderReport(4711, "psql")


def moved(plan: Plan) -> VolumePlan:
    (found,) = plan.moved_volumes
    return found


def migration(world: World, *said: MachineReport, estimates: dict[VolumeRef, int] | None = None) -> Plan:
    return planned(world.view, MIGRATION, {each.machine: each for each in said}, estimates=estimates)


def came_back() -> World:
    """The volume went to machine-b and returned: machine-a owns it at epoch 3."""
    world = postgres()
    world.commit(MIGRATION)
    world.commit(POSTGRES + intent("db", of={"pgdata": (B, A)}, to=A))
    return world


# ---------------------------------------------------------------- what is asked


def test_a_machine_is_asked_for_the_volumes_that_it_owns_or_would_and_for_all_images() -> None:
    world = cluster()
    two = volumes("other") + service("two", 'on = ["machine-c"]', mounts=["other"])
    world.commit(POSTGRES + two)
    manifest = parse(POSTGRES + two + MOVE_DB)
    asked = questions(manifest, assign(manifest, world.view, A), A)
    assert {machine: each.volumes for machine, each in asked.items()} == {
        A: (PGDATA,),
        B: (PGDATA,),
        C: (VolumeRef.parse("production/other"),),
    }
    (images,) = {each.images for each in asked.values()}
    assert {"postgres:17", "web:1", POSTGRES_ID} <= set(images)


def test_a_machine_that_loses_its_last_slot_is_asked_too() -> None:
    world = cluster()
    world.commit('namespace = "production"\n' + service("web", 'on = ["machine-b"]'))
    empty = parse('namespace = "production"')
    assert set(questions(empty, assign(empty, world.view, A), A)) == {A, B}


def test_a_machine_that_is_gone_is_not_asked() -> None:
    world = postgres()
    world.lose(A)
    manifest = parse(POSTGRES)
    assert set(questions(manifest, assign(manifest, world.view, B), B)) == {B}


# ---------------------------------------------------------------- making


def test_a_new_volume_begins_at_epoch_1_with_its_owner_and_mode() -> None:
    (volume,) = planned(cluster().view, POSTGRES).volumes
    assert (volume.change, volume.epoch, volume.mode, volume.owner) == (Change.CREATE, 1, "0700", "999:999")
    assert volume.quota_bytes == 20 * GIB


def test_a_dataset_that_no_fact_knows_is_not_taken_for_a_new_volume() -> None:
    plan = planned(cluster().view, POSTGRES, {A: report(A, dataset(epoch=0))})
    assert codes(plan) == [Code.DATASET_IN_THE_WAY]


def test_a_changed_quota_is_set_where_the_volume_is() -> None:
    plan = planned(postgres().view, POSTGRES.replace("20G", "30G"), {A: report(A, dataset())})
    assert changes(plan) == {"db/slot-1": (Change.UNCHANGED, A), "pgdata": (Change.REPLACE, A)}
    assert plan.volumes[0].epoch == 1


def test_an_owner_without_a_dataset_stands_in_the_way() -> None:
    assert codes(planned(postgres().view, POSTGRES, {A: report(A)})) == [Code.OWNED_ELSEWHERE]


# ---------------------------------------------------------------- moving


def test_a_first_move_sends_everything() -> None:
    volume = moved(migration(postgres()))
    assert (volume.machine, volume.epoch, volume.base) == (B, 2, None)
    assert volume.first_send_bytes == volume.size_bytes == 2 * GIB
    assert volume.target_free_bytes == 75 * GIB
    assert volume.expected_rounds == 2
    assert not volume.replaces_stale_copy


def test_a_copy_of_an_older_epoch_with_a_shared_snapshot_is_the_base() -> None:
    source, target = report(A, dataset(epoch=3, guids=[1, 2, 3])), report(B, dataset(epoch=2, guids=[1, 2, 9]))
    plan = migration(came_back(), source, target, estimates={PGDATA: 5 << 20})
    volume = moved(plan)
    assert volume.base == f"ployz-{operation(2)}-1"
    assert (volume.first_send_bytes, volume.size_bytes) == (5 << 20, 2 * GIB)
    assert not volume.replaces_stale_copy
    assert plan.blockers == ()


def test_a_copy_of_an_older_epoch_that_shares_nothing_is_replaced() -> None:
    source, target = report(A, dataset(epoch=3, guids=[1])), report(B, dataset(epoch=2, guids=[8, 9]))
    plan = migration(came_back(), source, target)
    assert moved(plan).replaces_stale_copy
    assert moved(plan).base is None
    assert plan.blockers == ()


@pytest.mark.parametrize("epoch", [0, 3, 4])
def test_a_dataset_that_is_not_proven_older_stands_in_the_way(epoch: int) -> None:
    plan = migration(came_back(), report(A, dataset(epoch=3, guids=[1])), report(B, dataset(epoch=epoch, guids=[1])))
    assert codes(plan) == [Code.DATASET_IN_THE_WAY]


def test_a_snapshot_is_shared_by_its_guid_and_never_by_its_name() -> None:
    source = [SnapshotReport("one", 1), SnapshotReport("two", 2)]
    assert common_base(source, [SnapshotReport("two", 1)]) == SnapshotReport("one", 1)
    assert common_base(source, [SnapshotReport("two", 22)]) is None


def test_the_moves_to_be_estimated_are_those_whose_source_knows_the_volume() -> None:
    world = postgres()
    assignment = assign(parse(MIGRATION), world.view, A)
    (move,) = moves(assignment, {A: report(A, dataset(guids=[1])), B: report(B)})
    assert (move.volume, move.source, move.target, move.base) == (PGDATA, A, B, None)
    assert moves(assignment, {A: Unanswered(A, "away"), B: report(B)}) == []
    assert moves(assign(parse(POSTGRES), world.view, A), {A: report(A, dataset())}) == []


@pytest.mark.parametrize("machine", [A, B])
def test_a_process_that_is_not_the_service_is_named(machine: MachineId) -> None:
    said = report(machine, dataset(strangers=[PSQL], epoch=3 if machine == A else 2))
    plan = migration(came_back(), said)
    assert codes(plan) == [Code.DATASET_BUSY]
    assert "process 4711 (psql)" in plan.blockers[0].text
    assert f"on {machine}" in plan.blockers[0].text


def test_a_container_of_ployz_is_named_as_its_service_since_a_process_that_is_ended_would_be_started_again() -> None:
    slot = SlotRef.parse("agents/backup/slot-1")
    holder = HolderReport(4711, "sh", slot, "works in /data")
    plan = migration(came_back(), report(A, dataset(strangers=[holder], epoch=3)))
    assert plan.blockers[0].text.endswith("by process 4711 (sh) of agents/backup/slot-1, which works in /data")
    assert plan.blockers[0].advice == "Let agents/backup bind less of the host, or deploy without it meanwhile."


def test_a_stranger_does_not_stop_a_deploy_that_leaves_the_volume_where_it_is() -> None:
    busy = report(A, dataset(strangers=[PSQL]))
    assert planned(postgres().view, POSTGRES.replace('"app"', '"other"'), {A: busy}).blockers == ()


# ---------------------------------------------------------------- space


def test_a_target_keeps_a_reserve() -> None:
    enough, tight = (evolve(report(B), pool_free_bytes=free) for free in (7 * GIB, 7 * GIB - 1))
    assert migration(postgres(), enough).blockers == ()
    assert codes(migration(postgres(), tight)) == [Code.NO_SPACE]


def test_a_full_pool_is_named_before_anything_is_snapshot_or_made_there() -> None:
    full = evolve(report(A, dataset()), pool_free_bytes=1 << 20)
    plan = migration(postgres(), full, report(B))
    assert codes(plan) == [Code.NO_SPACE]
    assert "the pool of machine-a is full: 1048576 bytes are free" in plan.blockers[0].text
    new = planned(cluster().view, POSTGRES, {A: evolve(report(A), pool_free_bytes=0)})
    assert codes(new) == [Code.NO_SPACE]


def test_volumes_that_arrive_together_need_their_space_together() -> None:
    world = cluster()
    two = volumes("x", "y") + service("web", mounts=["x", "y"])
    world.commit('namespace = "production"' + two)
    both = 'namespace = "production"' + two + intent("web", of={"x": (A, B), "y": (A, B)})
    full = evolve(report(B), pool_free_bytes=8 * GIB)  # 3 GiB above the reserve, and each has 2 GiB
    assert codes(planned(world.view, both, {B: full})) == [Code.NO_SPACE]


def test_only_the_changes_need_space_where_a_base_is() -> None:
    source, target = report(A, dataset(epoch=3, guids=[1])), report(B, dataset(epoch=2, guids=[1]))
    tight = evolve(target, pool_free_bytes=6 * GIB)
    assert migration(came_back(), source, tight, estimates={PGDATA: GIB}).blockers == ()


@pytest.mark.parametrize("text", [POSTGRES, MIGRATION])
def test_a_quota_below_what_the_volume_holds_stands_in_the_way(text: str) -> None:
    plan = planned(postgres().view, text.replace("20G", "1G"), {A: report(A, dataset())})
    assert codes(plan) == [Code.NO_SPACE]


@pytest.mark.parametrize("machine", [A, B])
def test_a_pool_that_does_not_work_stands_in_the_way_and_a_degraded_one_does_not(machine: MachineId) -> None:
    there = report(machine, dataset()) if machine == A else report(machine)
    assert codes(migration(postgres(), evolve(there, pool_health="SUSPENDED"))) == [Code.ZFS_FAILED]
    assert migration(postgres(), evolve(there, pool_health="DEGRADED")).blockers == ()


def test_a_plan_names_its_kind_and_its_namespace() -> None:
    plan = migration(postgres())
    assert (plan.kind, plan.namespace) == (OperationKind.MIGRATE, Namespace("production"))
