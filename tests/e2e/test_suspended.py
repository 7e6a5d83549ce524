"""A machine that stands still for longer than every lease, as when its host is suspended: nobody runs twice."""

from __future__ import annotations

import time

import pytest

from ployz.config import CANDIDATE_LEASE_S
from ployz.facts.lock import LEASE_S
from ployz.killpoints import STOP
from ployz.lab.crash import freezing
from ployz.lab.crash.stage import Stage
from ployz.lab.lab import Lab
from ployz.lab.state import LabName
from tests.e2e.cluster import Cluster, eventually, no_trace_on
from tests.e2e.manifests import count, namespace_of
from tests.e2e.test_crashes import RECOVERED_S, SOURCE, TARGET, check_nothing_was_lost, leases

pytestmark = [pytest.mark.lab, pytest.mark.moves]


def running_there(cluster: Cluster, machine: str, service: str) -> bool:
    return bool(cluster.containers(machine, namespace_of(service), "--filter", "status=running"))


def test_a_target_that_slept_through_its_lease_wakes_up_after_it(cluster: Cluster, service: str) -> None:
    """Its candidate ran when it fell asleep. When it wakes up, the source runs again."""
    stage = Stage(Lab(LabName(cluster.name)))
    stage.restart(TARGET, f"{STOP}after/append/container.started")
    target = stage.lab.running(TARGET)
    with cluster.going_on(service, TARGET) as move:
        eventually(lambda: stage.is_stopped(TARGET))
        freezing.freeze(target)
        try:
            eventually(lambda: running_there(cluster, SOURCE, service), within_s=RECOVERED_S)
            assert count(cluster, service) == 2
            time.sleep(CANDIDATE_LEASE_S)
        finally:
            freezing.thaw(target)
        eventually(lambda: not running_there(cluster, TARGET, service))
        assert running_there(cluster, SOURCE, service)
        assert move.end().exit_code == 3
    eventually(lambda: no_trace_on(cluster, TARGET, namespace_of(service)))
    assert leases(cluster) == []
    check_nothing_was_lost(cluster, service, 2)


def test_a_source_that_slept_after_its_fence_starts_again_only_by_the_decision(cluster: Cluster, service: str) -> None:
    stage = Stage(Lab(LabName(cluster.name)))
    stage.restart(SOURCE, f"{STOP}after/append/service.fenced")
    source = stage.lab.running(SOURCE)
    with cluster.going_on(service, TARGET) as move:
        eventually(lambda: stage.is_stopped(SOURCE))
        freezing.freeze(source)
        try:
            assert move.end().exit_code == 3
            assert not running_there(cluster, TARGET, service)
        finally:
            freezing.thaw(source)
    check_nothing_was_lost(cluster, service, 1)


def test_a_coordinator_that_slept_longer_than_its_lock_commits_nothing(cluster: Cluster, service: str) -> None:
    stage = Stage(Lab(LabName(cluster.name)))
    stage.restart("machine-c", f"{STOP}phase/commit")
    coordinator = stage.lab.running("machine-c")
    with cluster.going_on(service, "machine-a", on="machine-c") as move:
        eventually(lambda: stage.is_stopped("machine-c"))
        freezing.freeze(coordinator)
        try:
            eventually(lambda: running_there(cluster, SOURCE, service), within_s=LEASE_S + RECOVERED_S)
        finally:
            freezing.thaw(coordinator)
        answer = move.end()  # ployzctl did not sleep, and may have found that its node does not answer
    assert answer.exit_code in (3, 5), answer
    assert cluster.get("operation", "show", move.operation_id)["row"]["status"] == "aborted"
    check_nothing_was_lost(cluster, service, 1)
