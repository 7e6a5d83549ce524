"""What leaves a drained machine together, where it goes, and by which manifest."""

from __future__ import annotations

from attrs import evolve

from ployz.errors import Code
from ployz.ids import MachineId, VolumeRef
from ployz.manifest import parse, to_toml
from ployz.manifest.model import Leave
from ployz.plan.drain import Departure, manifest_of, plan_drain, plan_gone
from ployz.plan.model import Change
from ployz.plan.reports import MachineReport, Reports, SnapshotReport
from tests.unit.plan.examples import (
    GIB,
    PRODUCTION,
    A,
    B,
    C,
    World,
    changes,
    cluster,
    dataset,
    planned,
    report,
    service,
)

D, E = MachineId("machine-d"), MachineId("machine-e")
HEAD = 'namespace = "production"\n'

FOUR = """
namespace = "production"
[[volumes]]
name = "one"
[[volumes]]
name = "two"
[[volumes]]
name = "three"
[[services]]
name = "one"
on = ["machine-a"]
[services.template]
image = "web:1"
mounts = [{ source = { volume = "one" }, target = "/data" }]
[[services]]
name = "two"
on = ["machine-a"]
publish = [{ service_port = "main", host_port = 80 }]
service_ports = [{ name = "main", container_port = 80 }]
[services.template]
image = "web:1"
mounts = [{ source = { volume = "two" }, target = "/data" }]
[[services]]
name = "three"
on = ["machine-a"]
[services.template]
image = "web:1"
mounts = [{ source = { volume = "three" }, target = "/data" }]
"""
FREE = FOUR.replace('on = ["machine-a"]\n', "")
ONE, TWO, THREE = (VolumeRef.parse(f"production/{name}") for name in ("one", "two", "three"))


def on_a() -> World:
    world = cluster()
    world.commit(FOUR)
    world.commit(FREE)
    return world


def sized(machine: MachineId, **sizes: int) -> MachineReport:
    found = [
        evolve(dataset(VolumeRef.parse(f"production/{name}"), epoch=1), referenced_bytes=size * GIB)
        for name, size in sizes.items()
    ]
    return report(machine, *found)


def with_free(machine: MachineId, free: int) -> MachineReport:
    return evolve(report(machine), pool_free_bytes=free * GIB)


def homes(world: World, reports: Reports, *targets: MachineId) -> dict[str, MachineId]:
    drain = plan_drain(world.view, A, targets or (B, C), reports, chosen=bool(targets))
    assert drain.stuck == ()
    return {each.services[0]: each.to_machines[0] for each in drain.departures if each.volumes}


def test_the_largest_is_placed_first_and_each_where_most_space_is_left() -> None:
    reports: Reports = {A: sized(A, one=10, two=30, three=5), B: with_free(B, 60), C: with_free(C, 50)}
    assert list(homes(on_a(), reports).items()) == [("two", B), ("one", C), ("three", C)]


def test_five_volumes_are_spread_over_the_machines_that_have_room_and_not_sent_to_the_roomiest() -> None:
    """The one that has no room to speak of gets nothing, whatever it runs."""
    world = cluster(A, B, C, D, E)
    names = ("one", "two", "three", "four", "five")
    text = HEAD + "".join(f'[[volumes]]\nname = "{each}"\n' for each in names)
    text += "".join(service(each, 'on = ["machine-a"]', mounts=[each]) for each in names)
    world.commit(text)
    world.commit(text.replace('on = ["machine-a"]\n', ""))
    sizes = dict.fromkeys(names, 1)
    reports: Reports = {A: sized(A, **sizes), B: with_free(B, 80), C: with_free(C, 60), D: with_free(D, 50)}
    targets = homes(world, {**reports, E: with_free(E, 12)}, B, C, D, E)
    assert sorted(targets.values()) == [B, B, C, C, D]


def test_what_binds_a_folder_stays_and_the_rest_of_its_namespace_leaves() -> None:
    world = cluster()
    bind = 'mounts = [{ source = { bind = "/srv" }, target = "/srv" }]'
    bound = service("bound", 'on = ["machine-a"]').replace("mounts = []", bind)
    world.commit(HEAD + bound + service("web", 'on = ["machine-a"]'))
    world.commit(HEAD + bound + service("web"))
    drain = plan_drain(world.view, A, (B, C), {A: report(A), B: report(B), C: report(C)}, chosen=False)
    assert [(each.services, each.volumes) for each in drain.departures] == [(("web",), ())]
    assert [(each.code, "production/bound/slot-1" in each.text) for each in drain.stuck] == [(Code.BIND_MOUNT, True)]
    left = planned(world.view, manifest_of(world.view, A, drain.departures[0]))
    assert (left.blockers, changes(left)["bound/slot-1"]) == ((), (Change.UNCHANGED, A))


def test_of_a_machine_that_is_gone_volumes_are_named_and_what_has_none_leaves() -> None:
    world = cluster()
    data = '[[volumes]]\nname = "data"\n'
    world.commit(
        HEAD + data + service("db", 'on = ["machine-a"]', mounts=["data"]) + service("web", 'on = ["machine-a"]')
    )
    drain = plan_gone(world.view, A, (B, C), chosen=False)
    assert [(each.services, each.gone) for each in drain.departures] == [(("web",), True)]
    assert [each.code for each in drain.stuck] == [Code.OWNED_ELSEWHERE]
    assert "takeover production/data" in drain.stuck[0].advice


def test_what_does_not_fit_beside_what_goes_there_already_goes_elsewhere() -> None:
    reports: Reports = {A: sized(A, one=20, two=21, three=1), B: with_free(B, 30), C: with_free(C, 29)}
    assert homes(on_a(), reports) == {"two": B, "one": C, "three": B}


def test_a_machine_with_an_older_copy_is_sent_the_least() -> None:
    shared = SnapshotReport("ployz-op-1-1", 7)
    here = evolve(dataset(ONE, epoch=2), referenced_bytes=GIB, snapshots=(shared,))
    there = evolve(dataset(ONE, epoch=1), snapshots=(shared,))
    reports: Reports = {
        A: report(A, here, *sized(A, two=1, three=1).volumes),
        B: with_free(B, 70),
        C: evolve(with_free(C, 20), volumes=(there,)),
    }
    assert homes(on_a(), reports)["one"] == C


def test_a_published_port_keeps_a_service_away_from_where_it_is_taken() -> None:
    world = on_a()
    world.commit(
        """
        namespace = "other"
        [[services]]
        name = "proxy"
        on = ["machine-b"]
        publish = [{ service_port = "main", host_port = 80 }]
        service_ports = [{ name = "main", container_port = 80 }]
        [services.template]
        image = "web:1"
        """
    )
    reports: Reports = {A: sized(A, one=1, two=1, three=1), B: with_free(B, 80), C: with_free(C, 20)}
    assert homes(world, reports)["two"] == C


def test_only_where_its_manifest_allows_it_a_service_goes() -> None:
    world = cluster()
    world.commit(FOUR)
    reports: Reports = {A: sized(A, one=1, two=1, three=1), B: report(B), C: report(C)}
    drain = plan_drain(world.view, A, (B, C), reports, chosen=False)
    assert drain.departures == ()
    assert [each.code for each in drain.stuck] == [Code.NOT_MOVABLE] * 3
    world.commit(FREE.replace('name = "one"\n[services', 'name = "one"\non = ["machine-a", "machine-c"]\n[services'))
    assert homes(world, reports)["one"] == C


def test_a_departure_is_rendered_from_what_is_committed_when_it_begins() -> None:
    world = on_a()
    moved = manifest_of(world.view, A, Departure(PRODUCTION, ("one",), ("one",), (C,)))  # type: ignore[arg-type]
    assert [(each.volume, each.to_machine) for each in moved.intent.volumes] == [("one", C)]
    assert parse(to_toml(moved)) == moved
    slow = manifest_of(world.view, A, Departure(PRODUCTION, ("one",), ("one",), (C,), 1 << 20))  # type: ignore[arg-type]
    assert (moved.intent.bandwidth_bytes_s, slow.intent.bandwidth_bytes_s) == (None, 1 << 20)
    left = manifest_of(world.view, A, Departure(PRODUCTION, ("one",), (), (B,)))  # type: ignore[arg-type]
    assert left.intent.leave == Leave(A, (B,))
    assert parse(to_toml(left)) == left
