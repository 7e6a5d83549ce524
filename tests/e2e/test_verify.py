"""A move that compares what both machines read, on real ZFS."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster import MACHINES, Cluster
from tests.e2e.manifests import count, fill

pytestmark = [pytest.mark.lab, pytest.mark.moves]


def digests(cluster: Cluster, machine: str, operation: str) -> dict[str, str]:
    """By snapshot, as the machine's own log has them."""
    told = cluster.ctl("events", "tail", "--limit", "200", "--operation", operation, on=machine).lines
    events: list[dict[str, Any]] = [line["payload"] for line in told]
    read = [each["payload"] for each in events if each["name"] == "volume.digested/1"]
    return {each["snapshot"]: each["digest"] for each in read}


def test_every_file_is_compared_in_every_round(cluster: Cluster, service: str) -> None:
    fill(cluster, service, 8)
    counted = count(cluster, service)
    told = cluster.ctl("migrate", "apply", service, "--to", "machine-c", "--verify")
    assert told.exit_code == 0, told
    operation, moved = told.lines[0]["payload"]["operation_id"], told.payload
    source, target = (digests(cluster, machine, operation) for machine in ("machine-b", "machine-c"))
    assert source == target
    assert set(source) == {each["snapshot"] for each in moved["rounds"]}
    assert count(cluster, service) == counted + 1
    for machine in MACHINES:
        assert "ployz-verify" not in cluster.inside(machine, "zfs", "list", "-H", "-o", "name")
        assert "ployz-verify" not in cluster.inside(machine, "cat", "/proc/self/mountinfo")
