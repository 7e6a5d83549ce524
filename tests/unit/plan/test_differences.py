from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from ployz.events.types import Lifecycle
from ployz.plan.model import differences
from tests.unit.plan.bounds import BOUNDED
from tests.unit.plan.examples import (
    MOVE_DB,
    POSTGRES,
    WEB,
    A,
    B,
    C,
    cluster,
    dataset,
    intent,
    planned,
    postgres,
    report,
)

HEAD = 'namespace = "production"\n'


@BOUNDED
@given(st.sampled_from([POSTGRES, POSTGRES + WEB, POSTGRES + MOVE_DB, POSTGRES + WEB + MOVE_DB, HEAD]))
def test_a_plan_does_not_differ_from_itself(text: str) -> None:
    world = postgres()
    assert differences(planned(world.view, text), planned(world.view, text)) == []


def test_sizes_and_free_space_make_no_difference() -> None:
    world = postgres()
    before = planned(world.view, POSTGRES + MOVE_DB)
    grown = evolve(dataset(), referenced_bytes=3 << 30)
    after = planned(
        world.view, POSTGRES + MOVE_DB, {A: report(A, grown), B: evolve(report(B), pool_free_bytes=50 << 30)}
    )
    assert after != before
    assert differences(before, after) == []


def test_another_deploy_in_between_is_told() -> None:
    world = postgres()
    before = planned(world.view, POSTGRES.replace('"app"', '"other"'))
    world.commit(POSTGRES.replace('"app"', '"other"'))
    (told,) = differences(before, planned(world.view, POSTGRES.replace('"app"', '"other"')))
    assert told.startswith("db/slot-1: replace on machine-a")
    assert "became unchanged on machine-a" in told


def test_a_changed_manifest_is_told() -> None:
    world = postgres()
    told = differences(planned(world.view, POSTGRES), planned(world.view, POSTGRES + WEB))
    assert any("web/slot-1: nothing became create" in each for each in told)
    assert told[-1] == "the manifest of the namespace was changed by another deploy"


def test_a_volume_that_moved_in_between_is_told_by_its_epoch() -> None:
    world = postgres()
    before = planned(world.view, POSTGRES)
    world.commit(POSTGRES + MOVE_DB)
    told = differences(before, planned(world.view, POSTGRES))
    assert (
        "volume production/pgdata: unchanged on machine-a at epoch 1 became unchanged on machine-b at epoch 2" in told
    )


def test_a_service_that_now_comes_from_another_machine_is_told() -> None:
    world = cluster()
    world.commit(HEAD + WEB)
    before = planned(world.view, HEAD + WEB + intent("web", to=C))
    world.commit(HEAD + WEB + intent("web", to=B))
    (told,) = differences(before, planned(world.view, HEAD + WEB + intent("web", to=C)))
    assert "move on machine-c from machine-a" in told
    assert "move on machine-c from machine-b" in told


def test_a_copy_that_would_now_be_destroyed_is_told() -> None:
    world = postgres()
    world.commit(POSTGRES + MOVE_DB)
    back = POSTGRES + intent("db", of={"pgdata": (B, A)}, to=A)
    shared = {A: report(A, dataset(epoch=1, guids=[1])), B: report(B, dataset(epoch=2, guids=[1]))}
    alien = {**shared, A: report(A, dataset(epoch=1, guids=[9]))}
    (told,) = differences(planned(world.view, back, shared), planned(world.view, back, alien))
    assert told.endswith("in place of a stale copy")


def test_a_slot_that_would_now_go_elsewhere_is_told() -> None:
    world = cluster()
    before = planned(world.view, HEAD + WEB)
    world.set_lifecycle(A, Lifecycle.DRAINING)
    (told,) = differences(before, planned(world.view, HEAD + WEB))
    assert "create on machine-a" in told
    assert "create on machine-b" in told
