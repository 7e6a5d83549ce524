"""Names in real containers: short and in full, both families, after a move, without ployzd; and what there is not."""

from __future__ import annotations

import json
import sys

import pytest

from tests.dns import NXDOMAIN, Answer
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import namespace as of
from tests.e2e.manifests import sleeper, web
from tests.labs import REPOSITORY

pytestmark = pytest.mark.lab

LOOK_UP = """
my ($error, @found) = getaddrinfo($ARGV[0], "", { socktype => SOCK_STREAM });
print join(" ", sort map { (getnameinfo($_->{addr}, NI_NUMERICHOST, NIx_NOSERV))[1] } @found);
"""


def in_container(cluster: Cluster, machine: str, service: str, name: str) -> set[str]:
    """What a program there finds; nothing where there is no such name."""
    argv = ("perl", "-MSocket=:DEFAULT,:addrinfo", "-e", LOOK_UP, name)
    return set(cluster.in_container(machine, service, *argv).split())


def on_host(cluster: Cluster, machine: str, server: str, name: str, kind: str = "A") -> Answer:
    said = cluster.inside(machine, sys.executable, str(REPOSITORY / "tests" / "dns.py"), server, name, kind)
    return Answer(**json.loads(said))


def test_services_are_found_by_name_wherever_they_are(cluster: Cluster, namespace: str) -> None:
    asks = sleeper() | {"on": ["machine-a"]}
    cluster.deploy(of(namespace, web() | {"on": ["machine-b"]}, asks, volumes=("data",)))
    cluster.deploy(of(namespace, web(), asks, volumes=("data",)))
    service, asker = f"{namespace}/web", f"{namespace}/sleeper"
    slot = cluster.slot(service)
    addresses = {slot["ipv4"], slot["ipv6"]}
    full = f"web.{namespace}.ployz.internal"

    eventually(lambda: in_container(cluster, "machine-a", asker, full), lambda found: found == addresses)
    for name in ("web", f"web.{namespace}", f"slot-1.{full}"):
        assert in_container(cluster, "machine-a", asker, name) == addresses
    assert in_container(cluster, "machine-a", asker, "nothing") == set()
    networks = json.loads(cluster.inside("machine-a", "docker", "network", "inspect", "ployz"))
    (gateway,) = [each["Gateway"] for each in networks[0]["IPAM"]["Config"] if "." in each["Gateway"]]
    for machine in ("machine-a", "machine-b", "machine-c"):
        assert on_host(cluster, machine, gateway, full).addresses == [slot["ipv4"]]
        assert on_host(cluster, machine, gateway, full, "AAAA").addresses == [slot["ipv6"]]
        assert on_host(cluster, machine, gateway, f"nothing.{namespace}.ployz.internal").code == NXDOMAIN

    cluster.migrate(service, "machine-c")
    assert in_container(cluster, "machine-a", asker, "web") == addresses
    got = cluster.in_container("machine-a", asker, "perl", "-MIO::Socket::INET", "-e", GET, "web")
    assert "machine-c" in got

    cluster.run("daemon", "machine-a", "kill")
    assert in_container(cluster, "machine-a", asker, "web") == addresses
    assert in_container(cluster, "machine-a", asker, "nothing") == set()


GET = """
my $socket = IO::Socket::INET->new(PeerAddr => "$ARGV[0]:8080", Timeout => 10) or die "cannot connect: $@";
print $socket "GET / HTTP/1.0\\r\\n\\r\\n";
print while <$socket>;
"""
