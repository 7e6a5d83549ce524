"""`ployzctl doctor` on real machines: what is spoiled on one of them is found from another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import namespace_of

pytestmark = pytest.mark.lab

SHAKEN_S = 60.0
"""Peers that were just made shake hands with the first keepalive, every 25 s."""


def findings(cluster: Cluster, on: str = "machine-a") -> list[dict[str, Any]]:
    answer = cluster.ctl("doctor", on=on)
    found: list[dict[str, Any]] = answer.payload["findings"]
    assert answer.exit_code == (1 if found else 0), answer
    assert answer.code == ("unhealthy" if found else "ok"), answer
    return found


def kinds(cluster: Cluster, on: str = "machine-a") -> list[tuple[str, str | None]]:
    return sorted((each["kind"], each["machine"]) for each in findings(cluster, on))


def well(cluster: Cluster) -> None:
    eventually(lambda: findings(cluster), lambda found: found == [], within_s=SHAKEN_S)


@contextmanager
def frozen_docker(cluster: Cluster, machine: str) -> Iterator[None]:
    pid = cluster.inside(machine, "cat", "/run/docker.pid").strip()
    cluster.inside(machine, "kill", "-STOP", pid)
    try:
        yield
    finally:
        cluster.inside(machine, "kill", "-CONT", pid)


def test_a_cluster_that_is_well_has_no_findings_on_any_machine(cluster: Cluster, service: str) -> None:
    well(cluster)
    cluster.migrate(service, "machine-c")
    assert findings(cluster, on="machine-b") == []
    assert cluster.inside("machine-c", "ployzctl", "doctor") == "3 machines examined: nothing is wrong\n"


def test_a_docker_that_hangs_is_named_with_its_machine(cluster: Cluster) -> None:
    well(cluster)
    with frozen_docker(cluster, "machine-b"):
        found = findings(cluster)
    assert ("requirement-missing", "machine-b") in [(each["kind"], each["machine"]) for each in found]
    assert {each["machine"] for each in found} == {"machine-b"}
    assert "dockerd" in found[0]["text"]


def test_a_pool_that_is_full_is_an_error_before_anything_is_moved_there(cluster: Cluster) -> None:
    well(cluster)
    free = int(cluster.inside("machine-c", "zfs", "get", "-Hp", "-o", "value", "available", "tank"))
    cluster.inside("machine-c", "zfs", "create", "-o", f"reservation={free * 97 // 100}", "tank/hog")
    try:
        assert kinds(cluster) == [("pool-full", "machine-c")]
    finally:
        cluster.inside("machine-c", "zfs", "destroy", "tank/hog")
    assert findings(cluster) == []


def test_a_machine_without_power_is_a_finding_and_the_others_are_examined(cluster: Cluster) -> None:
    well(cluster)
    cluster.run("crash", "machine-c")
    found = findings(cluster, on="machine-b")
    assert [(each["severity"], each["kind"], each["machine"]) for each in found] == [
        ("error", "machine-silent", "machine-c")
    ]
    assert found[0]["remedy"]


def test_a_snapshot_of_an_operation_that_nobody_knows_is_found_and_goes_as_it_is_said(
    cluster: Cluster, service: str
) -> None:
    well(cluster)
    dataset = f"tank/ployz/{namespace_of(service)}/data"
    assert dataset in cluster.datasets("machine-b", namespace_of(service))
    cluster.inside("machine-b", "zfs", "snapshot", f"{dataset}@ployz-op-strange-1")
    cluster.inside("machine-b", "zfs", "snapshot", f"{dataset}@daily")
    (found,) = findings(cluster)
    assert (found["kind"], found["machine"]) == ("leftover-snapshot", "machine-b")
    assert "op-strange, which no fact names" in found["text"]
    command = found["remedy"].removeprefix("If nobody needs it: ")
    assert command == f"zfs destroy {dataset}@ployz-op-strange-1"
    cluster.inside("machine-b", *command.split())
    assert findings(cluster) == []
    cluster.inside("machine-b", "zfs", "destroy", f"{dataset}@daily")


def test_machines_of_one_version_can_work_together(cluster: Cluster) -> None:
    speakers = cluster.get("cluster", "upgrade-check")["speakers"]
    assert sorted(each["name"] for each in speakers) == ["machine-a", "machine-b", "machine-c", "this ployzctl"]
    assert len({str(each["spoken"]) for each in speakers}) == 1
