"""What phases() gives for plans that do several things at once."""

from __future__ import annotations

from ployz.ids import VolumeRef
from ployz.plan.effects import Depart, KeepBase, Phase, Phases, RemoveContainer, phases
from tests.unit.plan.examples import (
    MOVE_DB,
    PGDATA,
    POSTGRES,
    WEB,
    A,
    B,
    C,
    World,
    cluster,
    intent,
    planned,
    postgres,
    report,
    service,
    volumes,
)

HEAD = 'namespace = "production"\n'


def of(world: World, text: str) -> Phases:
    plan = planned(world.view, text)
    assert plan.blockers == ()
    return phases(plan)


def after(before: str, text: str) -> Phases:
    world = cluster(A, B)
    world.commit(HEAD + before)
    return of(world, HEAD + text)


def names(found: tuple[object, ...]) -> list[str]:
    return [f"{each.slot.service}@{each.slot.machine}" for each in found]  # type: ignore[attr-defined]


def test_a_migration_in_words() -> None:
    words = dict(of(postgres(), POSTGRES + MOVE_DB).in_words())
    assert list(words) == [
        Phase.LOCK,
        Phase.PREPARE,
        Phase.PRECOPY,
        Phase.CUT,
        Phase.COMMIT,
        Phase.FOLLOW,
        Phase.CLEAN,
    ]
    assert words[Phase.PREPARE] == [
        "machine-b: image postgres:17 is present",
        "machine-b: create the container of production/db/slot-1, not started",
    ]
    assert words[Phase.PRECOPY] == [
        "machine-a -> machine-b: send production/pgdata, all of it, then rounds while they pay"
    ]
    assert [line.partition(" on 10.")[0] for line in words[Phase.CUT]] == [
        "machine-a: fence and stop production/db/slot-1, final snapshot of production/pgdata at one instant",
        "machine-a -> machine-b: send the last changes of production/pgdata, compare guids",
        "machine-b: start production/db/slot-1",
    ]
    assert words[Phase.CLEAN] == [
        "machine-a: remove the old container of production/db/slot-1",
        "machine-a: keep production/pgdata read-only, as the base of an incremental way back",
    ]


def test_a_deploy_that_changes_nothing_has_no_phase() -> None:
    assert list(of(postgres(), POSTGRES).in_words()) == []


def test_a_first_deploy_in_words() -> None:
    words = dict(of(cluster(), POSTGRES).in_words())
    assert list(words) == [Phase.LOCK, Phase.PREPARE, Phase.START, Phase.COMMIT, Phase.FOLLOW]
    assert words[Phase.PREPARE][1] == "machine-a: create volume production/pgdata"


def test_an_image_is_brought_to_a_machine_once() -> None:
    two = service("web", 'on = ["machine-a"]', "placement = { replicated = { count = 2 } }")
    assert [str(each) for each in of(cluster(), HEAD + two).images] == ["machine-a: image web:1 is present"]


def test_an_image_that_comes_from_elsewhere_says_so() -> None:
    copied = phases(planned(postgres().view, POSTGRES + MOVE_DB, {B: report(B, images={})}))
    pulled = phases(planned(cluster().view, POSTGRES, {A: report(A, images={})}))
    assert [str(each) for each in copied.images] == ["machine-b: copy image postgres:17 (400 MiB) from machine-a"]
    assert [str(each) for each in pulled.images] == ["machine-a: pull image postgres:17"]


def test_a_replaced_slot_stops_its_old_container_and_has_it_removed_at_the_end() -> None:
    found = of(postgres(), POSTGRES.replace('"app"', '"other"'))
    assert "stop the old container, start production/db/slot-1" in str(found.in_place[0])
    assert [type(each) for each in found.cleaning] == [RemoveContainer]
    assert not found.departures
    assert not found.arrivals


def test_a_service_that_is_changed_and_moved_is_made_anew_at_its_new_place_alone() -> None:
    found = of(postgres(), POSTGRES.replace('"app"', '"other"') + MOVE_DB)
    assert names(found.containers) == names(found.arrivals) == ["db@machine-b"]
    assert found.in_place == ()
    assert [(each.source, each.volumes) for each in found.departures] == [(A, (PGDATA,))]
    assert found.copies[0].volume.volume == PGDATA


def test_all_volumes_of_a_service_leave_at_one_instant() -> None:
    two = volumes("data", "wal") + service("db", mounts=["data", "wal"])
    found = after(two, two + intent("db", of={"data": (A, B), "wal": (A, B)}))
    (departure,) = found.departures
    assert [str(each) for each in departure.volumes] == ["production/data", "production/wal"]
    assert len(found.copies) == len(found.last_copies) == 2


def test_services_that_leave_one_machine_together_are_fenced_together() -> None:
    three = volumes("x", "y") + service("one", mounts=["x"]) + service("two", mounts=["y"]) + service("three")
    world = cluster(A)
    world.commit(HEAD + three)
    world.join(B)
    found = of(world, HEAD + three + intent("one", "two", "three", of={"x": (A, B), "y": (A, B)}))
    (departure,) = found.departures
    assert departure.source == A
    assert [slot.service.service for slot in departure.slots] == ["one", "two", "three"]
    assert len(departure.volumes) == 2
    assert names(found.arrivals) == ["one@machine-b", "two@machine-b", "three@machine-b"]


def test_each_source_has_a_departure_of_its_own() -> None:
    two = volumes("x", "y") + service("one", mounts=["x"]) + service("two", mounts=["y"])
    world = cluster(A, B)
    world.commit(HEAD + two)
    world.join(C)
    found = of(world, HEAD + two + intent("one", "two", of={"x": (A, C), "y": (B, C)}, to=C))
    assert [each.source for each in found.departures] == [A, B]
    assert [[str(each) for each in departure.volumes] for departure in found.departures] == [
        ["production/x"],
        ["production/y"],
    ]


def test_a_service_without_volumes_moves_without_a_copy() -> None:
    found = after(WEB, WEB + intent("web"))
    assert not found.copies
    assert not found.last_copies
    assert [str(each) for each in found.departures] == ["machine-a: fence and stop production/web/slot-1"]
    assert names(found.arrivals) == ["web@machine-b"]
    assert [type(each) for each in found.cleaning] == [RemoveContainer]


def test_a_service_that_is_added_next_to_a_move_starts_before_anything_stops() -> None:
    found = of(postgres(), POSTGRES + WEB + MOVE_DB)
    assert names(found.in_place) == ["web@machine-b"]
    assert names(found.arrivals) == ["db@machine-b"]


def test_a_service_that_is_added_for_a_volume_that_moves_waits_until_it_is_there() -> None:
    backup = service("backup", mounts=["pgdata"], readonly=True)
    found = of(postgres(), POSTGRES + backup + intent("db", "backup", of={"pgdata": (A, B)}))
    assert found.in_place == ()
    assert names(found.arrivals) == ["db@machine-b", "backup@machine-b"]


def test_a_service_that_is_given_a_volume_that_comes_waits_until_it_is_there() -> None:
    world = postgres()
    world.commit(POSTGRES + service("backup", 'on = ["machine-b"]'))
    backup = service("backup", mounts=["pgdata"], readonly=True)
    found = of(world, POSTGRES + backup + intent("db", "backup", of={"pgdata": (A, B)}))
    assert found.in_place == ()
    assert names(found.arrivals) == ["db@machine-b", "backup@machine-b"]


def test_a_removed_service_lets_go_of_a_volume_before_it_leaves() -> None:
    """Its container would keep the dataset mounted, and the cut-over would fail with the service down."""
    world = postgres()
    world.commit(POSTGRES + service("backup", mounts=["pgdata"], readonly=True))
    (departure,) = of(world, POSTGRES + MOVE_DB).departures
    assert [slot.service.service for slot in departure.slots] == ["db", "backup"]


def test_a_removed_service_that_has_nothing_to_do_with_the_move_runs_until_the_commit() -> None:
    world = postgres()
    world.commit(POSTGRES + WEB)
    found = of(world, POSTGRES + MOVE_DB)
    assert [slot.service.service for slot in found.departures[0].slots] == ["db"]
    assert sum(isinstance(each, RemoveContainer) for each in found.cleaning) == 2


def test_a_volume_that_nobody_mounts_moves_alone() -> None:
    found = after(volumes("spare"), volumes("spare") + intent(of={"spare": (A, B)}))
    assert found.departures == (Depart(A, (), (VolumeRef.parse("production/spare"),)),)
    assert str(found.departures[0]) == "machine-a: final snapshot of production/spare at one instant"
    assert found.cleaning == (KeepBase(A, VolumeRef.parse("production/spare")),)


def test_nothing_is_stopped_or_removed_on_a_machine_that_is_gone() -> None:
    world = cluster(A, B)
    world.commit(HEAD + service("web", 'on = ["machine-b"]'))
    world.lose(B)
    found = of(world, HEAD + WEB)
    assert names(found.in_place) == ["web@machine-a"]
    assert not found.departures
    assert not found.cleaning


def test_a_quota_is_set_and_no_container_touched() -> None:
    found = of(postgres(), POSTGRES.replace("20G", "30G"))
    assert [str(each) for each in found.cleaning] == ["machine-a: set the quota of production/pgdata to 30720 MiB"]
    assert not found.volumes
    assert not found.containers
    assert not found.in_place
