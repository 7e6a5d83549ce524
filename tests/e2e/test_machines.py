"""The life of a machine: draining, standby, out of the cluster, forced out while it is off, and a member again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import count, namespace_of

pytestmark = pytest.mark.lab


def peers(cluster: Cluster, machine: str) -> list[str]:
    return cluster.inside(machine, "wg", "show", "ployz0", "peers").split()


def row(cluster: Cluster, machine: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("machine", "show", machine)["row"]
    return found


def join_again(cluster: Cluster, machine: str, endpoint: str) -> None:
    """Beside its ployzd, which finds the others again by itself."""
    token = cluster.get("machine", "invite")["token"]
    described = ("--machine", machine, "--endpoint", endpoint, "--pool", "tank")
    cluster.get("machine", "join", "-", *described, on=machine, stdin=token)


def test_a_machine_rests_leaves_and_is_forced_out(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    key = cluster.inside("machine-c", "wg", "show", "ployz0", "public-key").strip()
    endpoint = row(cluster, "machine-c")["endpoint"]

    in_use = cluster.ctl("machine", "standby", "machine-b", on="machine-c")
    assert (in_use.exit_code, in_use.code) == (1, "machine-in-use")
    assert f"volume {namespace}/data" in in_use.message
    assert f"service {service}/slot-1" in in_use.message
    assert cluster.ctl("machine", "rm", "machine-a").code == "authority"
    drained = cluster.get("machine", "drain", "machine-c")
    assert (drained["before"], drained["after"]) == ("active", "draining")
    assert cluster.try_migrate(service, "machine-c").code == "machine-not-active"
    cluster.get("machine", "standby", "machine-c", on="machine-c")
    pairs = cluster.get("machine", "rtt", "--samples", "3", on="machine-b")["rows"]
    assert len(pairs) == 6
    assert all(each["median_us"] > 0 for each in pairs)

    removed = cluster.get("machine", "rm", "machine-c", on="machine-b")
    assert removed["lagging"] == []
    assert all(key not in peers(cluster, each) for each in ("machine-a", "machine-b"))
    eventually(lambda: cluster.ctl("machine", "ls", on="machine-c").payload, lambda found: bool(found["removed"]))
    assert "machine-c was removed from the cluster" in cluster.daemon_log("machine-c")
    assert cluster.try_migrate(service, "machine-c").code == "unknown-machine"

    join_again(cluster, "machine-c", endpoint)
    eventually(lambda: row(cluster, "machine-c"), lambda found: found["silent_ms"] == 0)
    cluster.migrate(service, "machine-c")
    counted = count(cluster, service)

    assert cluster.ctl("machine", "rm", "machine-c", "--force", "--yes").code == "machine-answers"
    cluster.migrate(service, "machine-b")
    cluster.run("crash", "machine-c")
    forced = cluster.get("machine", "rm", "machine-c", "--force", "--yes")
    assert forced["removal"]["answers"] is False
    assert key not in peers(cluster, "machine-a")
    assert count(cluster, service) == counted + 1
    cluster.run("boot", "machine-c")
    join_again(cluster, "machine-c", endpoint)
    eventually(lambda: row(cluster, "machine-c"), lambda found: found["silent_ms"] == 0)
    assert row(cluster, "machine-c")["lifecycle"] == "active"
    assert cluster.get("events", "verify", on="machine-c")["findings"] == []


def test_a_machine_is_emptied_with_one_command(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    counted = count(cluster, service)
    planned = cluster.get("machine", "drain", "machine-b", "--migrate", "--dry-run")
    (row,) = [each for each in planned["rows"] if each["departure"]["namespace"] == namespace]
    assert row["departure"]["services"] == ["web"]
    assert cluster.slot(service)["machine"] == "machine-b"
    done = cluster.ctl("machine", "drain", "machine-b", "--migrate", "--to", "machine-c", on="machine-a")
    assert (done.exit_code, done.code) == (0, "ok"), done
    (departed,) = [each for each in done.payload["departed"] if each["row"]["departure"]["namespace"] == namespace]
    assert departed["result"]["cutover_ms"] > 0
    assert cluster.slot(service)["machine"] == "machine-c"
    assert count(cluster, service) == counted + 1
    assert cluster.get("machine", "standby", "machine-b")["slots"] == []
    cluster.get("machine", "activate", "machine-b")
