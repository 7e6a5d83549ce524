"""Migrations that fail before their commit: undone, with the service and its data where they were, and exit code 3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster import Answer, Cluster, eventually, no_trace_on
from tests.e2e.manifests import QUICK, count, counter, fill, namespace_of, web
from tests.e2e.manifests import namespace as ns

pytestmark = [pytest.mark.lab, pytest.mark.moves]

MIB = 1 << 20


def sending(line: dict[str, Any]) -> bool:
    """Some of it is there, and most is not."""
    return bool(line["kind"] == "operation.progress" and 0 < line["sent_bytes"] < line["total_bytes"] / 4)


def check_undone(cluster: Cluster, service: str, answer: Answer, phase: str, cause: str) -> None:
    """As it was, and nothing is left on machine-c."""
    namespace = namespace_of(service)
    assert (answer.exit_code, answer.code) == (3, cause), answer
    assert f"failed in phase {phase}: " in answer.message
    assert answer.payload["committed"] is False
    row = eventually(lambda: cluster.slot(service), lambda row: row["state"] == "running")
    assert row["machine"] == "machine-b"
    assert count(cluster, service) == 2
    assert cluster.containers("machine-c", namespace) == []
    assert cluster.datasets("machine-c", namespace) == []
    assert len(cluster.containers("machine-b", namespace)) == 1
    (copy,) = cluster.volume(f"{namespace}/data")["copies"]
    assert (copy["machine"], copy["owner"], copy["epoch"]) == ("machine-b", True, 1)
    operation = cluster.get("deploy", "show", answer.lines[0]["payload"]["operation_id"])
    assert operation["row"]["status"] == "aborted"
    assert phase in operation["row"]["reason"] or cause == "decided"
    via = [line for line in cluster.routes("machine-c") if line.startswith(row["ipv4"])]
    assert via, "machine-c does not know the way to the service any more"


def test_an_operation_that_is_aborted_while_its_link_is_cut(cluster: Cluster, service: str) -> None:
    """The source coordinates: it cannot tell the target to clean up, which does so by itself when it is reached."""
    fill(cluster, service, 24)
    cluster.run("limit", "machine-c", "30mbit")
    with cluster.going_on(service, "machine-c", on="machine-b") as move:
        move.until(sending)
        cluster.run("cut", "machine-b", "machine-c")
        move.until(lambda line: "the link is lost" in line.get("text", ""))
        assert cluster.ctl("operation", "abort", move.operation_id).exit_code == 0
        answer = move.end()
    cluster.run("heal")
    namespace = namespace_of(service)
    eventually(lambda: no_trace_on(cluster, "machine-c", namespace))
    check_undone(cluster, service, answer, "pre-copy", "decided")
    cluster.run("limit", "machine-c", "none")
    cluster.migrate(service, "machine-c")
    assert count(cluster, service) == 3


def test_a_target_that_runs_out_of_space_in_mid_stream(cluster: Cluster, service: str) -> None:
    fill(cluster, service, 32)
    used = int(cluster.inside("machine-c", "zfs", "get", "-Hp", "-o", "value", "used", "tank"))
    cluster.run("limit", "machine-c", "30mbit")
    try:
        with cluster.going_on(service, "machine-c") as move:
            move.until(sending)
            cluster.inside("machine-c", "zfs", "set", f"quota={used + 24 * MIB}", "tank")
            answer = move.end()
    finally:
        cluster.inside("machine-c", "zfs", "set", "quota=none", "tank")
    assert "space" in answer.message or "quota" in answer.message
    assert "machine-c" in answer.message
    check_undone(cluster, service, answer, "pre-copy", "no-space")


def test_a_receive_that_is_refused(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    fill(cluster, service, 4)
    # A folder of datasets that takes less than the pool could: no look at the pool finds it.
    cluster.inside("machine-c", "zfs", "create", "-o", "quota=1M", f"tank/ployz/{namespace}")
    answer = cluster.try_migrate(service, "machine-c")
    assert "space" in answer.message or "quota" in answer.message
    assert "machine-c" in answer.message
    check_undone(cluster, service, answer, "pre-copy", "no-space")


def test_a_candidate_that_is_never_ready_at_the_target(cluster: Cluster, namespace: str) -> None:
    at_home = {"exec": {"command": ["sh", "-c", "test $PLOYZ_MACHINE = machine-b"]}, **QUICK, "retries": 3}
    service = web() | {"readiness": at_home}
    cluster.deploy(ns(namespace, service | {"on": ["machine-b"]}, volumes=("data",)))
    cluster.deploy(ns(namespace, service, volumes=("data",)))
    assert count(cluster, f"{namespace}/web") == 1
    answer = cluster.try_migrate(f"{namespace}/web", "machine-c")
    assert "sh exited with 1" in answer.message
    assert "services and their data are where they were" in answer.message
    assert f"{namespace}/web/slot-1 runs on machine-b, since " in answer.message
    check_undone(cluster, f"{namespace}/web", answer, "cut-over", "not-ready")


def test_an_image_that_cannot_be_pulled(cluster: Cluster, namespace: str) -> None:
    manifest = counter(namespace)
    manifest["services"][0]["on"] = ["machine-b"]
    cluster.deploy(manifest)
    assert count(cluster, f"{namespace}/web") == 1
    head = cluster.facts()
    changed = ns(namespace, web(image="127.0.0.1:1/none:1") | {"on": ["machine-b"]}, volumes=("data",))
    answer = cluster.try_deploy(changed)
    assert answer.exit_code in (1, 3), answer
    assert answer.code == "image-missing"
    assert "127.0.0.1:1/none:1" in answer.message
    assert count(cluster, f"{namespace}/web") == 2
    assert cluster.facts() - head == (0 if answer.exit_code == 1 else 2)


def test_an_image_that_is_nowhere_any_more(cluster: Cluster, namespace: str) -> None:
    image, service = f"{namespace}:once", f"{namespace}/web"
    cluster.inside("machine-b", "docker", "create", "--name", namespace, "--label", f"made={namespace}", "web")
    cluster.inside("machine-b", "docker", "commit", namespace, image)
    cluster.inside("machine-b", "docker", "rm", namespace)
    cluster.deploy(ns(namespace, web(image=image) | {"on": ["machine-b"]}, volumes=("data",)))
    cluster.deploy(ns(namespace, web(image=image), volumes=("data",)))
    assert count(cluster, service) == 1
    cluster.inside("machine-b", "docker", "rmi", "--force", image)
    answer = cluster.try_migrate(service, "machine-c")
    if answer.exit_code == 0:  # what it runs on is still there, by its id
        assert count(cluster, service) == 2
        return
    assert (answer.exit_code in (1, 3), answer.code) == (True, "image-missing"), answer
    assert image in answer.message
    assert count(cluster, service) == 2
    assert cluster.slot(service)["machine"] == "machine-b"


def test_a_service_that_cannot_start_where_it_should_go(cluster: Cluster, service: str) -> None:
    """Something that ployz does not know has its published port at the target."""
    namespace = namespace_of(service)
    published = counter(namespace)
    published["services"][0] |= {"publish": [{"service_port": "http", "host_port": 18085}]}
    cluster.deploy(published)
    assert count(cluster, service) == 2
    listen = "import socket; s = socket.create_server(('', 18085)); print('listening', flush=True); input()"
    with cluster.start("machine-c", "python3", "-uc", listen) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "listening\n"
        answer = cluster.try_migrate(service, "machine-c")
        stranger.communicate(input="\n", timeout=10)
    assert (answer.exit_code, answer.payload["committed"]) == (3, False)
    assert "18085" in answer.message
    assert (cluster.slot(service)["machine"], count(cluster, service)) == ("machine-b", 3)
    assert cluster.datasets("machine-c", namespace) == []
