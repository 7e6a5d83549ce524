"""The facts on etcd, members of it on the lab's machines: the move there, and a cluster that outlives its founder.

A lab of its own: what has moved there does not go back. The other end-to-end tests run on etcd where PLOYZ_FACTS=etcd.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import MACHINES, Cluster, eventually
from tests.e2e.manifests import count, counter
from tests.real import need

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def embedded() -> Iterator[Cluster]:
    """Three machines whose facts the founder orders, with a counter on machine-b."""
    need("etcd", "etcdctl", "openssl", "zfs-fuse", "dockerd", "nft", "ip", "nsenter", "wg", "busybox")
    made = Cluster(f"test-e2e-etcd-{os.getpid()}")
    try:
        made.run("up", "--machines", "3")
        made.run("image", "web")
        made.deploy(counter("production"))
        if made.slot("production/web")["machine"] != "machine-b":
            made.migrate("production/web", "machine-b")
        yield made
    finally:
        made.run("down")
        assert made.remains() == []


def test_the_facts_move_to_etcd_and_the_cluster_outlives_its_founder(embedded: Cluster) -> None:
    cluster = embedded
    assert count(cluster, "production/web") == 1
    before = cluster.get("cluster", "status")
    assert before["ordered_by"] == "embedded"

    # A machine that is away while they move is told when it is back.
    cluster.run("daemon", "machine-c", "kill")
    cluster.run("up", "--facts", "etcd", "--machines", "3")
    state = cluster.get("cluster", "status", on="machine-c")
    assert (state["ordered_by"], state["position"] >= before["position"]) == ("etcd", True)
    assert [each["answers"] for each in state["members"]] == [True, True, True]
    assert sum(each["leads"] for each in state["members"]) == 1
    assert all(cluster.get("events", "verify", on=machine) for machine in MACHINES)

    assert cluster.migrate("production/web", "machine-c")["committed"]
    assert count(cluster, "production/web") == 2

    # It ordered all facts once, and has a member of etcd: nobody needs it any more.
    cluster.run("crash", "machine-a")
    moved = cluster.ctl("migrate", "apply", "production/web", "--to", "machine-b", on="machine-b")
    assert moved.payload["committed"], moved
    slot = cluster.get("service", "ls", on="machine-b")["slots"][0]
    assert slot["machine"] == "machine-b"

    cluster.run("boot", "machine-a")
    last = cluster.get("cluster", "status", on="machine-b")["position"]
    eventually(lambda: cluster.get("cluster", "status")["mirrored"] >= last)
    assert count(cluster, "production/web") == 3
    assert cluster.migrate("production/web", "machine-a")["committed"]
    assert count(cluster, "production/web") == 4


def test_a_second_promotion_is_done_already_and_another_etcd_is_refused(embedded: Cluster) -> None:
    access = embedded.folder / "machine-a" / "etcd" / "access.json"
    again = embedded.get("cluster", "promote", "--etcd", "-", "--yes", on="machine-b", stdin=access.read_text())
    assert again["position"] > 0
    other = access.read_text().replace('"ployz/"', '"other/"')
    refused = embedded.ctl("cluster", "promote", "--etcd", "-", "--yes", stdin=other)
    assert (refused.exit_code, refused.code) == (1, "conflict")
