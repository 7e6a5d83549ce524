"""What leaves a drained machine together, where it goes, and by which manifest."""

from __future__ import annotations

from attrs import evolve

from ployz.errors import Code
from ployz.ids import MachineId, VolumeRef
from ployz.manifest import parse, to_toml
from ployz.manifest.model import Leave
from ployz.plan.drain import Departure, manifest_of, plan_drain
from ployz.plan.reports import MachineReport, Reports, SnapshotReport
from tests.unit.plan.examples import GIB, PRODUCTION, A, B, C, World, cluster, dataset, report

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
