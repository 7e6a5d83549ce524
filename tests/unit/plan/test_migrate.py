from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ployz.errors import Code, Refused
from ployz.events.types import (
    DeployCommitted,
    Lifecycle,
    OperationKind,
    SlotPlacement,
    VolumePlacement,
    VolumeRemoved,
)
from ployz.ids import MachineId, ServiceRef, SlotName, VolumeRef
from ployz.manifest import Manifest, parse, to_canonical_json, to_toml, without_intent
from ployz.manifest.model import Global, Intent, ServiceMove
from ployz.plan import committed
from ployz.plan.migrate import render, without_service
from ployz.plan.model import Change
from ployz.projections.view import ClusterView
from tests.unit.manifest.any_manifest import manifests
from tests.unit.plan.bounds import BOUNDED
from tests.unit.plan.examples import (
    DB,
    MOVE_DB,
    PGDATA,
    POSTGRES,
    PRODUCTION,
    WEB,
    A,
    B,
    C,
    World,
    changes,
    cluster,
    codes,
    dataset,
    operation,
    planned,
    postgres,
    report,
    service,
)


def refused(view: ClusterView, ref: ServiceRef, target: MachineId) -> Refused:
    with pytest.raises(Refused) as refusal:
        render(view, ref, target)
    return refusal.value


# ---------------------------------------------------------------- rendering


def test_what_is_rendered_is_what_is_committed_and_the_intent() -> None:
    rendered = render(postgres().view, DB, B)
    assert rendered == parse(POSTGRES + MOVE_DB)
    assert without_intent(rendered) == parse(POSTGRES)


def test_a_service_without_volumes_moves_too() -> None:
    world = cluster()
    world.commit('namespace = "production"' + WEB)
    rendered = render(world.view, ServiceRef.parse("production/web"), B)
    assert rendered.intent == Intent(services=(ServiceMove(rendered.services[0].name, B),))


def test_the_way_back_is_rendered_from_where_the_volume_is_now() -> None:
    world = postgres()
    world.commit(POSTGRES + MOVE_DB)
    (move,) = render(world.view, DB, A).intent.volumes
    assert (move.from_machine, move.to_machine) == (B, A)


def test_what_is_printed_plans_what_apply_plans() -> None:
    world = postgres()
    rendered = render(world.view, DB, B)
    said = {A: report(A, dataset())}
    assert planned(world.view, to_toml(rendered), said) == planned(world.view, rendered, said)


def _runs_on_a(manifest: Manifest) -> World:
    """Every service of it has a slot on machine-a, and every volume is there."""
    world = cluster(A, B)
    world.fact(
        DeployCommitted(
            operation_id=world.start(manifest.namespace),
            kind=OperationKind.DEPLOY,
            namespace=manifest.namespace,
            manifest=to_canonical_json(manifest),
            slots=tuple(
                SlotPlacement(
                    service=each.name,
                    slot=SlotName("slot-1"),
                    machine=A,
                    ipv6=f"fd00:1:0:1::{at + 16:x}",
                    ipv4=f"10.210.0.{at + 16}",
                    image_id="sha256:1",
                    template_hash="t",
                    operation_id=operation(1),
                )
                for at, each in enumerate(manifest.services)
            ),
            volumes=tuple(VolumePlacement(VolumeRef(manifest.namespace, each.name), A, 1) for each in manifest.volumes),
            evidence=(),
        )
    )
    return world


@BOUNDED
@given(manifests(), st.data())
def test_what_is_rendered_is_read_back_as_it_was(manifest: Manifest, data: st.DataObject) -> None:
    manifest = without_intent(manifest)
    mounted = [volume for each in manifest.services for volume in each.template.volumes]
    movable = [
        each.name
        for each in manifest.services
        if not isinstance(each.placement, Global) and all(mounted.count(name) == 1 for name in each.template.volumes)
    ]
    assume(movable)
    moved = ServiceRef(manifest.namespace, data.draw(st.sampled_from(movable)))
    rendered = render(_runs_on_a(manifest).view, moved, B)
    assert parse(to_toml(rendered)) == rendered
    assert without_intent(rendered) == manifest
    assert rendered.intent.services == (ServiceMove(moved.service, B),)


# ---------------------------------------------------------------- refusing


def test_an_unknown_service_is_refused_and_the_known_ones_named() -> None:
    refusal = refused(postgres().view, ServiceRef.parse("production/bd"), B)
    assert refusal.code is Code.UNKNOWN_SERVICE
    assert "production/db" in refusal.problem.advice
    assert "none yet" in refused(cluster().view, DB, B).problem.advice


def test_an_unknown_machine_is_refused_and_the_known_ones_named() -> None:
    refusal = refused(postgres().view, DB, MachineId("machine-x"))
    assert refusal.code is Code.UNKNOWN_MACHINE
    assert "machine-a, machine-b, machine-c" in refusal.problem.advice


def test_what_is_there_already_is_refused() -> None:
    assert refused(postgres().view, DB, A).code is Code.ALREADY_THERE


def test_a_global_service_is_refused() -> None:
    world = cluster()
    world.commit('namespace = "production"' + service("agent", 'placement = "global"'))
    assert refused(world.view, ServiceRef.parse("production/agent"), B).code is Code.NOT_MOVABLE


def test_a_target_outside_of_on_is_refused() -> None:
    refusal = refused(postgres().view, DB, C)
    assert refusal.code is Code.NOT_MOVABLE
    assert "machine-a, machine-b only" in str(refusal)


def test_a_volume_that_a_service_which_stays_has_too_is_refused() -> None:
    world = cluster()
    world.commit(POSTGRES + service("backup", mounts=["pgdata"], readonly=True))
    refusal = refused(world.view, DB, B)
    assert refusal.code is Code.VOLUME_SHARED
    assert "pgdata with service backup" in str(refusal)


def test_a_volume_that_was_removed_is_refused() -> None:
    world = postgres()
    world.fact(VolumeRemoved(PGDATA))
    assert refused(world.view, DB, B).code is Code.UNKNOWN_VOLUME


def test_a_target_that_is_not_active_is_left_to_the_plan_that_tells_everything() -> None:
    world = postgres()
    world.set_lifecycle(B, Lifecycle.DRAINING)
    assert codes(planned(world.view, render(world.view, DB, B))) == [Code.MACHINE_NOT_ACTIVE]


# ---------------------------------------------------------------- removing


def test_a_service_is_removed_and_its_volume_stays_declared() -> None:
    world = postgres()
    left = without_service(world.view, DB)
    assert left.services == ()
    assert [volume.name for volume in left.volumes] == ["pgdata"]
    assert changes(planned(world.view, left))["db/slot-1"] == (Change.REMOVE, A)


# ---------------------------------------------------------------- what is committed


def test_the_committed_manifest_is_read_from_the_facts() -> None:
    world = postgres()
    manifest = committed.of_namespace(world.view, PRODUCTION)
    assert manifest == parse(POSTGRES)
    assert committed.service(world.view, DB) == manifest.services[0]
    assert committed.volume(world.view, PGDATA) == manifest.volumes[0]


def test_nothing_is_read_of_a_namespace_that_was_never_committed() -> None:
    view = cluster().view
    assert committed.of_namespace(view, PRODUCTION) is None
    assert committed.service(view, DB) is None
    assert committed.volume(view, PGDATA) is None
