"""What others take away from a machine, by hand or from a cron job, comes back by itself, and is told."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.conftest import remove
from tests.e2e.manifests import count, counter, web

pytestmark = pytest.mark.lab

CONTAINER_S = 10.0
ANYTHING_S = 30.0


LOOKS = """
import sys, time, urllib.request
began_s, url, limit_s = time.monotonic(), sys.argv[1], float(sys.argv[2])
while True:
    try:
        urllib.request.urlopen(url, timeout=1).read()
    except OSError:
        pass
    else:
        break
    if time.monotonic() - began_s > limit_s:
        sys.exit("it is not reached")
    time.sleep(0.1)
"""


def back(cluster: Cluster, service: str, within_s: float) -> None:
    """It is reached by its address, from another machine. Asked in one go: a busy machine asks slowly."""
    url = f"http://{cluster.slot(service)['ipv4']}:8080/healthz"
    cluster.python("machine-a", LOOKS, url, str(within_s))


def told(cluster: Cluster, machine: str, kind: str) -> bool:
    return "host.taken_away/1" in names(cluster, machine, f"host/{kind}")


def names(cluster: Cluster, machine: str, stream: str) -> list[str]:
    told = cluster.inside(machine, "ployzctl", "--json", "events", "tail", "--stream", stream, "--limit", "200")
    return [json.loads(line)["payload"].get("name", "") for line in told.splitlines()]


@pytest.fixture(scope="module")
def service(_lab: Cluster) -> Iterator[str]:
    """One for all of these tests: a counter on machine-b, which may move."""
    namespace = f"t-{secrets.token_hex(3)}"
    _lab.deploy(counter(namespace) | {"services": [web() | {"on": ["machine-b"]}]})
    _lab.deploy(counter(namespace))
    yield f"{namespace}/web"
    remove(_lab, namespace)


def test_a_container_its_network_and_its_image_come_back(cluster: Cluster, service: str) -> None:
    name = cluster.container("machine-b", service)
    counted = count(cluster, service)

    cluster.inside("machine-b", "docker", "rm", "--force", name)
    back(cluster, service, CONTAINER_S)
    assert told(cluster, "machine-b", "container")
    assert count(cluster, service) == counted + 1

    cluster.inside("machine-b", "docker", "rm", "--force", f"{name}.net")
    back(cluster, service, ANYTHING_S)
    assert told(cluster, "machine-b", "connection")

    cluster.run("daemon", "machine-b", "kill")  # which may have the container back before all is pruned
    cluster.inside("machine-b", "sh", "-c", f"docker rm --force {name} {name}.net; docker system prune --all --force")
    cluster.run("daemon", "machine-b", "start")
    back(cluster, service, ANYTHING_S)
    assert "image.received/1" in names(cluster, "machine-b", f"service/{service}")
    assert count(cluster, service) == counted + 2
    cluster.run("image", "web", "postgres")


def test_what_is_changed_of_the_overlay_is_put_back(cluster: Cluster, service: str) -> None:
    for kind, command in {
        "rules": "iptables -F; ip6tables -F",
        "switches": "sysctl -qw net.ipv4.ip_forward=0",
        "routes": "ip route flush dev ployz0; ip -6 route flush dev ployz0",
    }.items():
        cluster.inside("machine-b", "sh", "-c", command)
        eventually(lambda kind=kind: told(cluster, "machine-b", kind), within_s=2 * ANYTHING_S)  # type: ignore[misc]
        back(cluster, service, ANYTHING_S)

    def taken_away() -> set[str]:
        diagnosis = cluster.ctl("doctor").payload
        return {each["kind"] for each in diagnosis["findings"] if each["kind"].startswith("taken-away")}

    eventually(taken_away, lambda kinds: not kinds, within_s=ANYTHING_S)


def test_a_move_finds_what_was_pruned_or_left_at_its_target_before_anything_stops(
    cluster: Cluster, service: str
) -> None:
    slot, counted = cluster.slot(service), count(cluster, service)
    cluster.inside("machine-c", "docker", "network", "rm", "ployz")
    cluster.migrate(service, "machine-c")
    name = cluster.container("machine-c", service)
    cluster.migrate(service, "machine-b")

    orphan = ["--name", f"{name}.net", "--label", f"ployz-network-of={name}", "--ip", slot["ipv4"]]
    cluster.inside("machine-c", "docker", "run", "--detach", "--network", "ployz", *orphan, "ployz-pause:1", "/pause")
    cluster.migrate(service, "machine-c")
    assert count(cluster, service) == counted + 1
