"""An operation seen, aborted and begun again from machines that do not coordinate it."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import count, fill

pytestmark = [pytest.mark.lab, pytest.mark.moves]


def test_an_operation_is_ended_and_begun_again_from_any_machine(cluster: Cluster, service: str) -> None:
    fill(cluster, service, 12)
    cluster.run("limit", "machine-b", "20mbit")

    def phase() -> str:
        rows = cluster.get("operation", "ls", on="machine-c")["operations"]
        return next((str(row["phase"]) for row in rows if row["deploy"]["operation_id"] == going.operation_id), "")

    with cluster.going_on(service, "machine-c") as going:
        eventually(phase, lambda found: found == "pre-copy")
        shown = cluster.get("operation", "show", going.operation_id, on="machine-b")
        assert shown["now"] == "in phase pre-copy on machine-a"
        aborted = cluster.get("operation", "abort", going.operation_id, on="machine-c")
        assert aborted["row"]["status"] == "aborted"
        ended = going.end()
    assert (ended.exit_code, ended.code) == (3, "decided")
    assert "an operator asked for it" in ended.message
    assert cluster.slot(service)["machine"] == "machine-b"
    counted = count(cluster, service)

    again = cluster.ctl("operation", "abort", going.operation_id, on="machine-b")
    assert (again.exit_code, again.code) == (1, "decided")
    cluster.run("limit", "machine-b", "none")
    resumed = cluster.ctl("operation", "resume", going.operation_id, on="machine-c")
    assert resumed.exit_code == 0, resumed
    assert cluster.slot(service)["machine"] == "machine-c"
    assert count(cluster, service) == counted + 1
