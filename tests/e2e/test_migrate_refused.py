"""Migrations that are refused before anything changes: each with its code, its reason, and exit code 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.cluster import MACHINES, Answer, Cluster, eventually
from tests.e2e.manifests import fill, namespace_of, sleeper, web
from tests.e2e.manifests import namespace as ns

pytestmark = [pytest.mark.lab, pytest.mark.moves]


@contextmanager
def unchanged(cluster: Cluster) -> Iterator[None]:
    """No fact, no dataset, no snapshot, no container comes or goes."""

    def world() -> list[object]:
        return [cluster.facts(), *(cluster.inventory(machine) for machine in MACHINES)]

    before = world()
    yield
    assert world() == before


def refused(cluster: Cluster, service: str, to: str, on: str = "machine-a") -> Answer:
    """The same from preview, in its list, and from apply, which changes nothing."""
    with unchanged(cluster):
        answer = cluster.try_migrate(service, to, on)
        preview = cluster.ctl("migrate", "preview", service, "--to", to, on=on)
    assert answer.exit_code == 1
    assert answer.message in answer.stderr
    if preview.exit_code == 0:
        codes = [each["code"] for each in preview.payload["plan"]["blockers"]]
        assert answer.code == (codes[0] if len(codes) == 1 else "blocked")
    else:
        assert (preview.exit_code, preview.code) == (1, answer.code)
    return answer


def test_unknown_names_and_a_move_to_where_it_is(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    answer = refused(cluster, f"{namespace}/none", "machine-c")
    assert answer.code == "unknown-service"
    assert service in answer.advice
    assert refused(cluster, "none/web", "machine-c").code == "unknown-service"
    answer = refused(cluster, service, "machine-x")
    assert answer.code == "unknown-machine"
    assert "machine-a, machine-c, machine-b" in answer.advice or "machine-a, machine-b, machine-c" in answer.advice
    assert refused(cluster, service, "machine-b").code == "already-there"


@pytest.mark.parametrize("wrong", ["Production/web", "web", "a/b/c", "../web/x", "a b/web", "-rf/web", "x/" + "y" * 64])
def test_names_that_are_none(cluster: Cluster, wrong: str) -> None:
    head = cluster.facts()
    done = cluster.try_("exec", "machine-a", "--", "ployzctl", "migrate", "apply", "--to", "machine-b", "--", wrong)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error [")
    assert cluster.facts() == head


def test_a_target_that_does_not_answer(cluster: Cluster, service: str) -> None:
    cluster.run("daemon", "machine-c", "kill")
    answer = refused(cluster, service, "machine-c")
    assert answer.code == "machine-unreachable"
    assert "machine-c" in answer.message
    cluster.run("daemon", "machine-c", "start")


def test_a_source_that_does_not_answer(cluster: Cluster, service: str) -> None:
    cluster.run("daemon", "machine-b", "kill")
    answer = refused(cluster, service, "machine-c")
    assert answer.code == "machine-unreachable"
    assert "machine-b" in answer.message
    cluster.run("daemon", "machine-b", "start")


def test_machines_that_reach_the_coordinator_but_not_each_other(cluster: Cluster, service: str) -> None:
    cluster.run("cut", "machine-b", "machine-c")
    answer = refused(cluster, service, "machine-c")
    assert answer.code == "machine-unreachable"
    assert "machine-b does not reach machine machine-c" in answer.message
    cluster.run("heal")
    eventually(lambda: cluster.slot(service)["state"] == "running")
    assert cluster.slot(service)["machine"] == "machine-b"


def test_who_orders_the_facts_is_needed_and_no_other_machine_is(cluster: Cluster, service: str) -> None:
    """Without its founding machine an embedded log commits nothing, and nothing waits for ever. On etcd that one is as
    any other: the move is made, and it follows when it is back.
    """
    on_etcd = cluster.get("cluster", "status")["ordered_by"] == "etcd"
    cluster.run("daemon", "machine-a", "kill")
    answer = cluster.try_migrate(service, "machine-c", on="machine-b")
    assert (answer.exit_code, answer.code) == ((4, "cleanup-pending") if on_etcd else (1, "machine-unreachable")), (
        answer
    )
    assert "machine-a" in answer.message
    cluster.run("daemon", "machine-a", "start")
    eventually(lambda: all(each["reachable"] for each in cluster.get("machine", "ls")["machines"]))
    assert cluster.slot(service)["machine"] == ("machine-c" if on_etcd else "machine-b")


def test_a_folder_of_the_host_does_not_move(cluster: Cluster, namespace: str) -> None:
    mounts = [{"source": {"bind": "/etc/hostname"}, "target": "/host"}]
    cluster.deploy(ns(namespace, sleeper(mounts=mounts)))
    source = cluster.slot(f"{namespace}/sleeper")["machine"]
    target = next(each for each in MACHINES if each != source)
    answer = refused(cluster, f"{namespace}/sleeper", target)
    assert answer.code == "bind-mount"
    assert "/etc/hostname" in answer.message


def test_a_volume_that_another_service_keeps(cluster: Cluster, namespace: str) -> None:
    reader = sleeper("reader", mounts=[{"source": {"volume": "data"}, "target": "/data", "readonly": True}])
    cluster.deploy(ns(namespace, web(), reader, volumes=("data",)))
    source = cluster.slot(f"{namespace}/web")["machine"]
    target = next(each for each in MACHINES if each != source)
    answer = refused(cluster, f"{namespace}/web", target)
    assert answer.code == "volume-shared"
    assert "reader" in answer.message
    # The advice holds: an intent that moves both is no problem.
    both = ns(namespace, web(), reader, volumes=("data",)) | {
        "intent": {
            "volumes": [{"volume": "data", "move": {"from_machine": source, "to_machine": target}}],
            "services": [{"service": name, "move": {"to_machine": target}} for name in ("web", "reader")],
        }
    }
    cluster.deploy(both)
    assert {cluster.slot(f"{namespace}/{name}")["machine"] for name in ("web", "reader")} == {target}


def test_too_little_space_at_the_target(cluster: Cluster, service: str) -> None:
    fill(cluster, service, 24)
    used = int(cluster.inside("machine-c", "zfs", "get", "-Hp", "-o", "value", "used", "tank/ployz"))
    cluster.inside("machine-c", "zfs", "set", f"quota={used + (8 << 20)}", "tank/ployz")
    try:
        answer = refused(cluster, service, "machine-c")
    finally:
        cluster.inside("machine-c", "zfs", "set", "quota=none", "tank/ployz")
    assert answer.code == "no-space"
    assert "machine-c" in answer.message


def test_a_stranger_in_the_volume_is_named(cluster: Cluster, service: str) -> None:
    folder = f"/var/lib/ployz/volumes/{namespace_of(service)}/data"
    stranger = cluster.start("machine-b", "sh", "-c", f"cd {folder} && echo $$ && exec sleep 1000")
    try:
        assert stranger.stdout is not None
        pid = stranger.stdout.readline().strip()
        answer = refused(cluster, service, "machine-c")
        assert answer.code == "dataset-busy"
        assert pid in answer.message
        assert "sleep" in answer.message
        cluster.inside("machine-b", "kill", pid)
    finally:
        stranger.communicate(timeout=10)
    cluster.migrate(service, "machine-c")


def test_a_dataset_of_that_name_which_ployz_did_not_make(cluster: Cluster, service: str) -> None:
    dataset = f"tank/ployz/{namespace_of(service)}"
    cluster.inside("machine-c", "zfs", "create", dataset)
    cluster.inside("machine-c", "zfs", "create", f"{dataset}/data")
    answer = refused(cluster, service, "machine-c")
    assert answer.code == "dataset-in-the-way"
    assert f"machine-c has a dataset for {namespace_of(service)}/data" in answer.message
    assert f"{dataset}/data" in cluster.datasets("machine-c", namespace_of(service))
    cluster.inside("machine-c", "zfs", "destroy", "-r", dataset)
    cluster.migrate(service, "machine-c")


def test_a_namespace_that_is_being_worked_on(cluster: Cluster, service: str) -> None:
    fill(cluster, service, 12)
    cluster.run("limit", "machine-c", "4mbit")
    with cluster.going_on(service, "machine-c") as slow:
        slow.until(lambda line: line["phase"] == "pre-copy")
        for command in (("migrate", "apply", service, "--to", "machine-c"), ("service", "rm", service, "--yes")):
            answer = cluster.ctl(*command, on="machine-b")
            assert (answer.exit_code, answer.code) == (1, "lock-held")
            for word in ("machine-a", f"migrate {service} to machine-c"):
                assert word in answer.message
        cluster.run("limit", "machine-c", "none")
        assert slow.end().exit_code == 0
    assert cluster.slot(service)["machine"] == "machine-c"


def test_everything_in_the_way_is_told_at_once(cluster: Cluster, namespace: str) -> None:
    mounts = [
        {"source": {"bind": "/etc/hostname"}, "target": "/host"},
        {"source": {"volume": "data"}, "target": "/data"},
    ]
    cluster.deploy(ns(namespace, sleeper(mounts=mounts), volumes=("data",)))
    source = cluster.slot(f"{namespace}/sleeper")["machine"]
    target = next(each for each in MACHINES if each != source)
    cluster.inside(target, "zfs", "create", "-p", f"tank/ployz/{namespace}/data")
    answer = refused(cluster, f"{namespace}/sleeper", target)
    assert answer.code == "blocked"
    assert "[bind-mount]" in answer.message
    assert "[dataset-in-the-way]" in answer.message
    cluster.inside(target, "zfs", "destroy", "-r", f"tank/ployz/{namespace}")


def test_two_moves_at_once_end_with_one_place(cluster: Cluster, service: str) -> None:
    argv = ["ployzctl", "--json", "migrate", "apply", service, "--to"]
    racers = [cluster.start(target, *argv, target) for target in ("machine-a", "machine-c")]
    answers = [Answer.of(racer, *racer.communicate(timeout=60)) for racer in racers]
    codes = sorted(answer.exit_code for answer in answers)
    assert codes in ([0, 1], [0, 0])
    for answer in answers:
        assert answer.code in ("ok", "lock-held", "plan-stale", "already-there")
    assert cluster.slot(service)["machine"] in ("machine-a", "machine-c")


def test_a_node_that_is_not_there(cluster: Cluster) -> None:
    cluster.run("daemon", "machine-c", "kill")
    answer = cluster.ctl("machine", "ls", on="machine-c")
    assert (answer.exit_code, answer.code) == (5, "node-unreachable")
    assert "/run/ployz/ployzd.sock" in answer.message
    assert answer.advice
