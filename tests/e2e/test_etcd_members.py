"""An etcd that ployzd itself runs, on chosen machines: made, supervised, and a member of it given to another machine.

A lab of its own: the facts of the others stay where they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.cluster import MACHINES, Answer, Cluster, eventually
from tests.e2e.manifests import count, counter
from tests.real import need

pytestmark = pytest.mark.lab

LONG_S = 90.0
"""Until a machine that was away has done what there is to do, on a busy host."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Four machines whose facts the founder orders, with a counter on machine-b."""
    need("etcd", "openssl", "zfs-fuse", "dockerd", "nft", "ip", "nsenter", "wg", "busybox")
    made = Cluster(f"test-e2e-etcd-{os.getpid()}")
    try:
        made.run("up", "--machines", "4")
        made.run("image", "web")
        made.deploy(counter("production"))
        if made.slot("production/web")["machine"] != "machine-b":
            made.migrate("production/web", "machine-b")
        yield made
    finally:
        made.run("down")
        assert made.remains() == []


def members(cluster: Cluster, on: str = "machine-b") -> dict[str, dict[str, Any]]:
    """By the machine."""
    return {each["machine"]: each for each in cluster.get("cluster", "status", on=on)["members"]}


def answering(cluster: Cluster, on: str = "machine-b") -> dict[str, bool]:
    return {name: each["answers"] for name, each in members(cluster, on).items()}


def test_a_promotion_that_cannot_be_changes_nothing(cluster: Cluster) -> None:
    before = cluster.get("cluster", "status")
    for words, code in (
        (("machine-a", "machine-b"), "usage"),
        (("machine-a", "machine-b", "machine-b"), "usage"),
        (("machine-a", "machine-b", "machine-z"), "unknown-machine"),
    ):
        assert cluster.ctl("cluster", "promote", *words, "--yes").code == code
    cluster.run("daemon", "machine-c", "kill")
    assert cluster.ctl("cluster", "promote", *MACHINES, "--yes").exit_code != 0
    cluster.run("daemon", "machine-c", "start")
    assert cluster.get("cluster", "status") == before
    assert cluster.try_("exec", "machine-a", "--", "test", "-e", "/var/lib/ployz/etcd").returncode == 1


def test_the_facts_move_to_members_that_ployzd_runs(cluster: Cluster) -> None:
    before = cluster.get("cluster", "status")

    def promote() -> Answer:
        return cluster.ctl("cluster", "promote", *MACHINES, "--yes")

    # Not before machine-c is found again, nor while an operation that has just ended still holds something.
    promoted = eventually(promote, lambda answer: answer.code not in {"machine-unreachable", "lock-held"}, LONG_S)
    assert promoted.exit_code == 0, promoted
    state = cluster.get("cluster", "status")
    assert (state["ordered_by"], state["position"] >= before["position"]) == ("etcd", True)
    assert answering(cluster) == dict.fromkeys(MACHINES, True)
    again = cluster.get("cluster", "promote", *MACHINES, "--yes", on="machine-d")
    assert again["position"] <= state["position"]
    refused = cluster.ctl("cluster", "promote", "machine-b", "machine-c", "machine-d", "--yes")
    assert (refused.exit_code, refused.code) == (1, "conflict")
    assert cluster.migrate("production/web", "machine-c")["committed"]
    assert count(cluster, "production/web") == 1


def test_a_member_outlives_ployzd_and_is_started_again_when_it_ends(cluster: Cluster) -> None:
    pid = etcd_of(cluster, "machine-b")
    cluster.run("daemon", "machine-b", "kill")
    assert etcd_of(cluster, "machine-b") == pid
    cluster.run("daemon", "machine-b", "start")
    assert etcd_of(cluster, "machine-b") == pid
    cluster.inside("machine-b", "kill", "-9", pid)
    eventually(lambda: etcd_of(cluster, "machine-b") not in {"", pid}, within_s=LONG_S)
    eventually(lambda: members(cluster)["machine-b"]["answers"], within_s=LONG_S)


def test_the_founder_may_lose_its_power_and_its_member_comes_back_with_it(cluster: Cluster) -> None:
    cluster.run("crash", "machine-a")
    moved = cluster.ctl("migrate", "apply", "production/web", "--to", "machine-b", on="machine-b")
    assert moved.payload["committed"], moved
    cluster.run("boot", "machine-a")
    eventually(lambda: members(cluster)["machine-a"]["answers"], within_s=LONG_S)
    last = cluster.get("cluster", "status", on="machine-b")["position"]
    eventually(lambda: cluster.get("cluster", "status")["mirrored"] >= last, within_s=LONG_S)
    assert cluster.get("events", "verify", on="machine-a")


def test_a_leader_that_is_cut_off_commits_nothing_and_the_others_go_on(cluster: Cluster) -> None:
    eventually(partial(answering, cluster), lambda found: all(found.values()), within_s=LONG_S)
    (leader,) = [name for name, each in members(cluster).items() if each["leads"]]
    others = [each for each in MACHINES if each != leader]

    def limit(bandwidth: str, on: str) -> Answer:
        return cluster.ctl("machine", "set", "machine-d", f"bandwidth={bandwidth}", on=on)

    for each in (*others, "machine-d"):
        cluster.run("cut", leader, each)
    try:
        # Until the two of them have elected one.
        eventually(lambda: limit("50M", on=others[0]), lambda answer: answer.exit_code == 0, within_s=LONG_S)
        bandwidth = bandwidth_of_d(cluster, on=others[0])
        alone = limit("60M", on=leader)
        assert alone.exit_code == 5, alone
    finally:
        cluster.run("heal")
    # The one that is back may have the three elect anew, and until they have there is no position.
    status = partial(cluster.get, "cluster", "status")
    last = eventually(lambda: status(on=others[0])["position"], lambda position: position is not None, within_s=LONG_S)
    eventually(lambda: status(on=leader)["mirrored"] >= last, within_s=LONG_S)
    assert [bandwidth_of_d(cluster, on=each) for each in MACHINES] == [bandwidth] * 3
    assert limit("none", on=leader).exit_code == 0
    assert all(cluster.get("events", "verify", on=each)["findings"] == [] for each in MACHINES)


def bandwidth_of_d(cluster: Cluster, on: str) -> str:
    settings = cluster.get("machine", "show", "machine-d", on=on)["row"]["settings"]
    (found,) = [each["value"] for each in settings if each["key"] == "bandwidth"]
    return str(found)


def etcd_of(cluster: Cluster, machine: str) -> str:
    """Its process number; empty: it does not run."""
    return cluster.try_("exec", machine, "--", "pgrep", "-x", "etcd").stdout.strip()


def test_a_machine_takes_the_place_of_a_member_that_answers(cluster: Cluster) -> None:
    cluster.get("cluster", "replace", "machine-a", "machine-d", on="machine-a")
    expected = dict.fromkeys(("machine-b", "machine-c", "machine-d"), True)
    for machine in ("machine-a", "machine-b", "machine-d"):
        eventually(partial(answering, cluster, machine), lambda found: found == expected, within_s=LONG_S)
    assert etcd_of(cluster, "machine-a") == ""
    again = cluster.get("cluster", "replace", "machine-a", "machine-d", on="machine-b")
    assert {each["machine"] for each in again["members"]} == set(expected)
    refused = cluster.ctl("cluster", "replace", "machine-b", "machine-c", on="machine-b")
    assert (refused.exit_code, refused.code) == (1, "usage")
    kept = cluster.ctl("machine", "rm", "machine-d", "--yes", on="machine-b")
    assert (kept.exit_code, kept.code) == (1, "authority"), kept


def test_a_machine_takes_the_place_of_a_member_that_is_lost(cluster: Cluster) -> None:
    cluster.run("crash", "machine-d")
    cluster.get("cluster", "replace", "machine-d", "machine-a", on="machine-c")
    # Every machine asks etcd who its members are.
    expected = dict.fromkeys(MACHINES, True)
    eventually(partial(answering, cluster), lambda found: found == expected, within_s=LONG_S)
    moved = cluster.try_migrate("production/web", "machine-c", on="machine-b")
    assert moved.payload["committed"], moved  # what machine-d has to do for it waits until it is back


def test_a_backup_is_restored_where_the_cluster_was_founded_and_goes_on(cluster: Cluster) -> None:
    backup = "/var/lib/ployz/backup.db"
    kept = cluster.get("cluster", "backup", backup, on="machine-a")["position"]
    running = cluster.ctl("cluster", "restore", backup, "--yes", on="machine-a")
    assert (running.exit_code, running.code) == (1, "log-locked")
    for each in MACHINES:
        cluster.run("daemon", each, "kill")
    elsewhere = cluster.ctl("cluster", "restore", backup, "--yes", on="machine-b")
    assert (elsewhere.exit_code, elsewhere.code) == (1, "conflict")
    restored = cluster.get("cluster", "restore", backup, "--yes", on="machine-a")
    assert restored["position"] == kept
    for each in ("machine-b", "machine-c"):
        cluster.get("cluster", "restore", "--yes", on=each)
    for each in MACHINES:
        assert etcd_of(cluster, each) == ""
        cluster.run("daemon", each, "start")
    state = eventually(lambda: cluster.get("cluster", "status", on="machine-b"), lambda now: now["position"], LONG_S)
    assert (state["ordered_by"], state["position"] >= kept) == ("embedded", True)
    moved = eventually(
        lambda: cluster.try_migrate("production/web", "machine-a", on="machine-b"),
        lambda answer: answer.code != "machine-unreachable",
        LONG_S,
    )
    assert moved.payload["committed"], moved
