"""Machines whose addresses change: one is followed, and two at once find each other by a third."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ployz.config import PEER_PORT
from ployz.lab.lab import Lab
from ployz.lab.state import LabName
from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.lab

FOUND_S = 30.0
MOVED = {"machine-b": "201", "machine-c": "202"}

CONNECTS = """
import socket, sys, time
began_s, (address, port, limit_s) = time.monotonic(), sys.argv[1:]
while True:
    try:
        socket.create_connection((address, int(port)), timeout=1).close()
    except OSError:
        pass
    else:
        break
    if time.monotonic() - began_s > float(limit_s):
        sys.exit("it is not reached")
"""


def renumber(cluster: Cluster, machine: str, old: str, new: str) -> None:
    cluster.inside(machine, "sh", "-ec", f"ip addr del {old}/24 dev eth0; ip addr add {new}/24 dev eth0")


@pytest.fixture
def moved(cluster: Cluster) -> Iterator[None]:
    state = Lab(LabName(cluster.name)).state()
    old = {each: state.address(state.require(each)) for each in MOVED}
    new = {each: f"{old[each].rpartition('.')[0]}.{last}" for each, last in MOVED.items()}
    for each in MOVED:
        renumber(cluster, each, old[each], new[each])
    yield
    for each in MOVED:
        renumber(cluster, each, new[each], old[each])
    for each in ("machine-a", *MOVED):  # at once, or the next test would begin while they look for each other
        for peer in MOVED:
            if peer != each:
                key = cluster.inside(peer, "wg", "show", "ployz0", "public-key").strip()
                cluster.inside(each, "wg", "set", "ployz0", "peer", key, "endpoint", f"{old[peer]}:51820")


def test_two_machines_whose_addresses_change_at_once_find_each_other_by_the_third(
    cluster: Cluster, moved: None
) -> None:
    rows = {each["machine"]: each for each in cluster.get("machine", "ls")["machines"]}
    cluster.python("machine-b", CONNECTS, rows["machine-c"]["ipv6"], str(PEER_PORT), str(FOUND_S))
    heard_at = cluster.get("machine", "show", "machine-c", on="machine-b")["row"]["heard_at"]
    assert heard_at.rpartition(":")[0].endswith(f".{MOVED['machine-c']}")
