"""A link that is cut while a volume is sent over it, on real ZFS: the move goes on, and sends little twice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ployz.wire.stream_window import WINDOW_BYTES
from tests.e2e.cluster import Cluster
from tests.e2e.manifests import count, fill

pytestmark = [pytest.mark.lab, pytest.mark.moves]

SIZE_MIB = 64
OVERHEAD = 1.1
"""What WireGuard, TCP and everything else that machines tell each other adds."""


def received_bytes(cluster: Cluster, machine: str) -> int:
    """Over the overlay, by the kernel's count."""
    return int(cluster.inside(machine, "cat", "/sys/class/net/ployz0/statistics/rx_bytes"))


def nearly_there(line: dict[str, Any]) -> bool:
    return bool(line["kind"] == "operation.progress" and line["sent_bytes"] > 0.9 * line["total_bytes"] > 0)


def waits(line: dict[str, Any]) -> bool:
    return "the link is lost" in line.get("text", "")


def test_a_link_that_is_cut_at_ninety_per_cent(cluster: Cluster, service: str) -> None:
    fill(cluster, service, SIZE_MIB)
    cluster.run("limit", "machine-c", "20mbit")
    before = received_bytes(cluster, "machine-c")
    with cluster.going_on(service, "machine-c", on="machine-b") as move:
        move.until(nearly_there)
        cluster.run("cut", "machine-b", "machine-c")
        move.until(waits)
        cluster.run("heal")
        answer = move.end()
    assert answer.exit_code == 0, answer
    sent = sum(each["sent_bytes"] for each in answer.payload["rounds"])
    crossed = received_bytes(cluster, "machine-c") - before
    assert crossed < OVERHEAD * (sent + WINDOW_BYTES)
    told = " ".join(line["payload"].get("text", "") for line in answer.lines)
    again = re.search(r"(\d+) bytes sent again after 1 lost links", told)
    assert again is not None, told
    assert int(again[1]) <= WINDOW_BYTES
    assert count(cluster, service) == 2
    assert cluster.slot(service)["machine"] == "machine-c"
