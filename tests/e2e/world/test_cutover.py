"""A cut-over that would take longer than its operator was told: nothing is stopped."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster, eventually, no_trace_on
from tests.e2e.manifests import count, fill

pytestmark = [pytest.mark.lab, pytest.mark.moves]

UPDATE = """
i=0
while [ $i -lt 60 ]; do
    dd if=/dev/urandom of=/data/table bs=1M count=5 seek=$((i % 4 * 5)) conv=notrunc,fsync 2>/dev/null
    i=$((i + 1))
    sleep 1
done
"""


def started_at(cluster: Cluster, service: str) -> str:
    return cluster.inspect("machine-b", cluster.container("machine-b", service), "{{.State.StartedAt}}")


def test_what_is_asked_for_is_compared_with_what_is_left_just_before_the_stop(
    cluster: Cluster, namespace: str, service: str
) -> None:
    since = started_at(cluster, service)
    refused = cluster.ctl("migrate", "apply", service, "--to", "machine-c", "--max-cutover", "100ms")
    assert (refused.exit_code, refused.payload["problem"]["code"]) == (3, "cutover-too-long"), refused
    assert "may take 100ms, as it was asked for" in refused.payload["problem"]["text"]
    assert started_at(cluster, service) == since
    assert count(cluster, service) == 2
    eventually(lambda: no_trace_on(cluster, "machine-c", namespace))


def test_a_bulk_update_that_outruns_the_link_keeps_its_service_where_it_is_until_somebody_insists(
    cluster: Cluster, service: str
) -> None:
    fill(cluster, service, 4)
    container = cluster.container("machine-b", service)
    cluster.run("limit", "machine-b", "10mbit")
    cluster.inside("machine-b", "docker", "exec", "-d", container, "sh", "-c", UPDATE)
    since = started_at(cluster, service)
    refused = cluster.ctl("migrate", "apply", service, "--to", "machine-c")
    assert refused.payload["problem"]["code"] == "cutover-too-long", refused
    assert "are left to send, written while the round before was sent" in refused.payload["problem"]["text"]
    assert started_at(cluster, service) == since
    cluster.run("limit", "machine-b", "none")
    moved = cluster.get("migrate", "apply", service, "--to", "machine-c", "--anyway")
    assert moved["committed"]
