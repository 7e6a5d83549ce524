"""A link that loses what is large is named before anything hangs on it, and what is advised mends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ployz.lab.lab import Lab
from ployz.lab.state import LabName
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import count

pytestmark = pytest.mark.lab

FOUND_S = 60.0


def link(cluster: Cluster, mtu: int) -> None:
    """What the switch sends to machine-b and takes from it: neither machine's own interface knows."""
    switch = Lab(LabName(cluster.name)).switch()
    assert switch is not None
    switch.run(["ip", "link", "set", "machine-b", "mtu", str(mtu)])


@pytest.fixture
def narrow(cluster: Cluster, service: str) -> Iterator[str]:
    link(cluster, 1400)
    yield service
    link(cluster, 1500)
    cluster.get("machine", "set", "machine-b", "mtu=auto")


def lost(cluster: Cluster) -> list[dict[str, str]]:
    findings = cluster.ctl("doctor").payload.get("findings", [])
    return [each for each in findings if each["kind"] == "packets-lost"]


def test_a_link_that_loses_large_packets_is_named_and_what_is_advised_lets_a_move_pass(
    cluster: Cluster, narrow: str
) -> None:
    counted = count(cluster, narrow)
    (finding,) = eventually(lambda: lost(cluster), within_s=FOUND_S)
    assert (finding["machine"], finding["severity"]) == ("machine-b", "error")
    assert finding["text"].startswith("packets of 1420 bytes are lost between it and machine-a, machine-c")
    refused = cluster.try_migrate(narrow, "machine-c")
    assert refused.code == "machine-unreachable"
    assert "packets of 1420 bytes are lost between machine-b and machine-c" in refused.message

    cluster.get(*finding["remedy"].rpartition("ployzctl ")[2].split())
    eventually(lambda: not lost(cluster), within_s=FOUND_S)
    cluster.in_container("machine-b", narrow, "busybox", "dd", "if=/dev/urandom", "of=/data/large", "bs=1M", "count=8")
    cluster.migrate(narrow, "machine-c")
    assert count(cluster, narrow) == counted + 1
