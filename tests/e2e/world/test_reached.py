"""What runs and is not reached is found by `ployzctl doctor`, and is no finding any more when it is put right."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import HTTP, sleeper, web

pytestmark = pytest.mark.lab

FOUND_S = 60.0
DROPS = """
nft add table ip strange
nft add chain ip strange out '{ type filter hook output priority 0; }'
nft add rule ip strange out ip daddr %s drop
"""


def told(cluster: Cluster) -> dict[str, str]:
    """`{SLOT KIND: TEXT}` of what is wrong now."""
    findings = cluster.ctl("doctor").payload.get("findings", [])
    return {f"{each['text'].partition(' ')[0]} {each['kind']}": each["text"] for each in findings}


def test_what_listens_on_nothing_and_what_a_rule_keeps_from_one_machine(cluster: Cluster, namespace: str) -> None:
    name = namespace
    deaf = sleeper("deaf") | {"service_ports": [HTTP], "on": ["machine-a"]}
    there = web(volume=None) | {"on": ["machine-b"]}
    cluster.deploy({"namespace": name, "services": [deaf, there]})
    addresses = {service: cluster.slot(f"{name}/{service}")["ipv4"] for service in ("deaf", "web")}
    cluster.inside("machine-c", "sh", "-c", DROPS % addresses["web"])
    try:
        found = eventually(lambda: told(cluster), lambda said: len(said) == 2, within_s=FOUND_S)
    finally:
        cluster.inside("machine-c", "nft", "delete", "table", "ip", "strange")
    assert found == {
        f"{name}/deaf/slot-1 slot-unreached": (
            f"{name}/deaf/slot-1 is reached from no machine: {addresses['deaf']}:8080: Connection refused"
        ),
        f"{name}/web/slot-1 slot-unreached": (
            f"{name}/web/slot-1 is not reached from machine-c: {addresses['web']}:8080 did not accept within 2 s"
        ),
    }

    cluster.in_container("machine-a", f"{name}/deaf", "busybox", "httpd", "-p", "8080")
    assert eventually(lambda: told(cluster), lambda said: not said, within_s=FOUND_S) == {}
