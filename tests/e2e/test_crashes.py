"""Machines and daemons that die in the middle of a move: the service ends up in one place, with all that it answered.

The daemon dies at every single step in `bin/crash`; here are whole machines, and what only a guard can end.
"""

from __future__ import annotations

from typing import Any

import pytest

from ployz.config import CANDIDATE_LEASE_S
from ployz.lab.crash.stage import Stage
from ployz.lab.lab import Lab
from ployz.lab.state import LabName
from tests.e2e.cluster import MACHINES, Cluster, eventually, no_trace_on
from tests.e2e.manifests import count, fill, namespace_of

pytestmark = [pytest.mark.lab, pytest.mark.moves]

SOURCE, TARGET = "machine-b", "machine-c"
RECOVERED_S = 120.0
"""Locks, leases and every retry are over by then, on a busy machine too."""


def sending(line: dict[str, Any]) -> bool:
    return bool(line["kind"] == "operation.progress" and line["sent_bytes"])


def cutting_over(line: dict[str, Any]) -> bool:
    return bool(line["kind"] == "operation.progress" and line["phase"] == "cut-over")


def running_on(cluster: Cluster, service: str) -> list[str]:
    running = ["--filter", "status=running"]
    return [each for each in MACHINES if cluster.containers(each, namespace_of(service), *running)]


def leases(cluster: Cluster) -> list[str]:
    found = [cluster.inside(each, "find", "/run/ployz", "-path", "*/leases/*") for each in MACHINES]
    return "".join(found).split()


def in_order(cluster: Cluster, service: str) -> bool:
    """Exactly one machine has it, by the facts and by Docker, and nothing else of it is anywhere."""
    owner = cluster.slot(service)["machine"]
    containers = {each: len(cluster.containers(each, namespace_of(service))) for each in MACHINES}
    mine = {each: int(each == owner) for each in MACHINES}
    return running_on(cluster, service) == [owner] and containers == mine and not leases(cluster)


def check_nothing_was_lost(cluster: Cluster, service: str, counted: int) -> None:
    """One owner, and it counts on from what was answered last."""
    eventually(lambda: in_order(cluster, service), within_s=RECOVERED_S)
    assert count(cluster, service) == counted + 1
    other = next(each for each in MACHINES if each != cluster.slot(service)["machine"])
    cluster.migrate(service, other)
    assert count(cluster, service) == counted + 2
    for machine in MACHINES:
        assert cluster.get("events", "verify", on=machine)["findings"] == []


def test_a_candidate_whose_ployzd_died_is_ended_by_its_guard_and_the_source_runs_again(
    cluster: Cluster, service: str
) -> None:
    """Nobody can reach the target, and on it nobody but the guard is left who knows."""
    stage = Stage(Lab(LabName(cluster.name)))
    stage.restart(TARGET, "after/append/container.started")
    with cluster.going_on(service, TARGET) as move:
        eventually(lambda: not stage.node(TARGET).alive())
        for other in ("machine-a", SOURCE):
            cluster.run("cut", other, TARGET)
        assert running_on(cluster, service) == [TARGET]
        assert leases(cluster) != []

        def source_runs() -> bool:
            running = running_on(cluster, service)
            assert len(running) <= 1, "it runs twice"
            return running == [SOURCE]

        eventually(lambda: running_on(cluster, service) == [], within_s=CANDIDATE_LEASE_S)
        eventually(source_runs, within_s=RECOVERED_S)
        answer = move.end()
    assert answer.exit_code == 3
    (word,) = leases(cluster)  # for the ployzd that comes next
    assert cluster.inside(TARGET, "cat", word) == "killed\n"
    cluster.run("heal")
    cluster.run("daemon", TARGET, "start")
    eventually(lambda: no_trace_on(cluster, TARGET, namespace_of(service)))
    check_nothing_was_lost(cluster, service, 1)


@pytest.mark.parametrize(("victim", "phase"), [(TARGET, sending), *((machine, cutting_over) for machine in MACHINES)])
def test_a_power_cut_in_the_middle_of_a_move(cluster: Cluster, service: str, victim: str, phase: Any) -> None:
    """machine-a is the authority and coordinates, machine-b is the source, machine-c the target."""
    fill(cluster, service, 16)
    cluster.run("limit", TARGET, "60mbit")
    with cluster.going_on(service, TARGET) as move:
        move.until(phase)
        cluster.run("crash", victim)
        if phase is sending:  # the move waits for it
            cluster.run("boot", victim)
        if victim != "machine-a":
            move.end()
    cluster.run("limit", TARGET, "none")
    cluster.run("up", "--machines", str(len(MACHINES)))
    check_nothing_was_lost(cluster, service, 1)


def test_docker_that_dies_on_the_target_in_the_middle_of_a_move(cluster: Cluster, service: str) -> None:
    fill(cluster, service, 16)
    cluster.run("limit", TARGET, "60mbit")
    with cluster.going_on(service, TARGET) as move:
        move.until(sending)
        dockerd = cluster.inside(TARGET, "cat", "/run/docker.pid").strip()
        cluster.inside(TARGET, "kill", "-KILL", dockerd)
        answer = move.end()
    assert answer.exit_code in (0, 3)
    cluster.run("limit", TARGET, "none")
    cluster.run("up", "--machines", str(len(MACHINES)))
    check_nothing_was_lost(cluster, service, 1)
