"""A real gateway on a third machine: what its clients see while services move, ployzd dies and routes change."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import define, field

from ployz.lab.bench import load
from tests.e2e.clients import WRITING, client, sql
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import Json, postgres, web
from tests.e2e.manifests import namespace as ns
from tests.real import need

pytestmark = [pytest.mark.lab, pytest.mark.moves]

GATEWAY = "machine-c"
RATE = 40
"""A second: what the small web server answers on a busy host too. `bin/bench gateway` has more."""


@pytest.fixture(name="gateway")
def _gateway(cluster: Cluster) -> Iterator[str]:
    need("haproxy")
    cluster.get("machine", "set", GATEWAY, "gateway=on")
    yield GATEWAY
    cluster.get("machine", "set", GATEWAY, "gateway=off")
    eventually(lambda: haproxy(cluster), lambda pid: pid == "")


@define
class Report:
    found: dict[str, Any] = field(factory=dict)


@contextmanager
def loaded(cluster: Cluster, hostname: str, path: str = "/healthz") -> Iterator[Report]:
    """So many requests a second on the gateway, while the block runs."""
    process = cluster.start(GATEWAY, sys.executable, load.__file__, "80", hostname, path, str(RATE))
    report = Report()
    try:
        yield report
        stdout, stderr = process.communicate(timeout=90)
        assert process.returncode == 0, stderr
        report.found.update(json.loads(stdout))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def routed(name: str, hostname: str, *, more: Json | None = None) -> Json:
    service = web() | {"routes": [{"http": {"service_port": "http", "hostnames": [hostname]}}], **(more or {})}
    return ns(name, service, volumes=("data",))


def serves(cluster: Cluster, hostname: str) -> None:
    ask = ["wget", "-qO-", "--header", f"Host: {hostname}", "http://127.0.0.1/healthz"]
    eventually(lambda: cluster.try_("exec", GATEWAY, "--", *ask).returncode, lambda code: code == 0)


def haproxy(cluster: Cluster) -> str:
    """The master's number; empty: it does not run."""
    script = "pid=$(cat /run/ployz/gateway/haproxy.pid 2>/dev/null) && test -d /proc/$pid && echo $pid || true"
    return cluster.inside(GATEWAY, "sh", "-c", script).strip()


def held(cluster: Cluster, backend: str) -> dict[str, Any]:
    (row,) = cluster.get("gateway", "status")["gateways"]
    (found,) = (each for each in row["backends"] if each["backend"] == backend)
    return dict(found)


def place(cluster: Cluster, service: str, machine: str) -> None:
    if cluster.slot(service)["machine"] != machine:
        cluster.migrate(service, machine)


def test_no_request_fails_while_a_service_moves_to_and_fro_under_load(
    cluster: Cluster, namespace: str, gateway: str
) -> None:
    hostname, service = f"{namespace}.example", f"{namespace}/web"
    cluster.deploy(routed(namespace, hostname))
    place(cluster, service, "machine-a")
    serves(cluster, hostname)
    with loaded(cluster, hostname) as report:
        for target in ("machine-b", "machine-a", "machine-c", "machine-b"):
            assert cluster.migrate(service, target)["committed"]
        # A moment more, in which what waited last is answered.
        eventually(lambda: held(cluster, f"http.{namespace}.web.http")["held"], lambda now: now == 0)
    assert report.found["failed"] == {}
    assert report.found["requests"] > RATE
    counted = held(cluster, f"http.{namespace}.web.http")
    assert counted["held_ever"] > 0
    assert (counted["refused"], counted["state"]) == (0, "serving")


@pytest.mark.parametrize("volume", ["data", None])
def test_no_request_fails_while_a_service_is_replaced_where_it_is_under_load(
    cluster: Cluster, namespace: str, gateway: str, volume: str | None
) -> None:
    hostname, backend = f"{namespace}.example", f"http.{namespace}.web.http"

    def manifest(version: int) -> Json:
        routes = {"routes": [{"http": {"service_port": "http", "hostnames": [hostname]}}]}
        service = web(volume=volume, env={"VERSION": str(version)}) | routes
        return ns(namespace, service, volumes=("data",) if volume else ())

    cluster.deploy(manifest(0))
    serves(cluster, hostname)
    with loaded(cluster, hostname) as report:
        for version in range(1, 4):
            assert cluster.deploy(manifest(version))["committed"]
        eventually(lambda: held(cluster, backend)["held"], lambda now: now == 0)
    machine = cluster.slot(f"{namespace}/web")["machine"]
    assert cluster.in_container(machine, f"{namespace}/web", "sh", "-c", "echo $VERSION").strip() == "3"
    assert report.found["failed"] == {}
    assert report.found["requests"] > RATE
    counted = held(cluster, backend)
    assert counted["held_ever"] > 0
    assert (counted["refused"], counted["state"]) == (0, "serving")


def test_of_two_slots_one_answers_while_the_other_is_replaced_and_nothing_waits(
    cluster: Cluster, namespace: str, gateway: str
) -> None:
    hostname, backend = f"{namespace}.example", f"http.{namespace}.web.http"

    def manifest(version: int) -> Json:
        more = {
            "routes": [{"http": {"service_port": "http", "hostnames": [hostname]}}],
            "placement": {"replicated": {"count": 2}},
        }
        return ns(namespace, web(volume=None, env={"VERSION": str(version)}) | more)

    cluster.deploy(manifest(0))
    serves(cluster, hostname)
    with loaded(cluster, hostname) as report:
        for version in (1, 2):
            assert cluster.deploy(manifest(version))["committed"]
    assert report.found["failed"] == {}
    counted = held(cluster, backend)
    assert (counted["held_ever"], counted["refused"], counted["state"]) == (0, 0, "serving")


def test_a_gateway_serves_on_without_ployzd_and_is_found_again(cluster: Cluster, namespace: str, gateway: str) -> None:
    hostname = f"{namespace}.example"
    cluster.deploy(routed(namespace, hostname))
    serves(cluster, hostname)
    before = haproxy(cluster)
    with loaded(cluster, hostname) as report:
        cluster.run("daemon", gateway, "kill")
        assert haproxy(cluster) == before
        cluster.run("daemon", gateway, "start")
        eventually(lambda: cluster.get("gateway", "status")["gateways"][0]["answers"])
        eventually(lambda: cluster.get("gateway", "status")["gateways"][0]["position"], lambda at: at > 0)
    assert report.found["failed"] == {}
    assert haproxy(cluster) == before


def test_routes_that_come_and_go_drop_no_request_of_others(cluster: Cluster, namespace: str, gateway: str) -> None:
    hostname = f"{namespace}.example"
    cluster.deploy(routed(namespace, hostname))
    serves(cluster, hostname)
    with loaded(cluster, hostname) as report:
        for number in range(3):
            other = f"{number}.{namespace}.example"
            routes = [{"http": {"service_port": "http", "hostnames": [hostname, other]}}]
            cluster.deploy(routed(namespace, hostname, more={"routes": routes}))
            serves(cluster, other)
    assert report.found["failed"] == {}


def test_a_database_moves_behind_a_tcp_route_and_keeps_what_it_acknowledged(
    cluster: Cluster, namespace: str, gateway: str
) -> None:
    service = f"{namespace}/db"
    database = postgres() | {"routes": [{"tcp": {"service_port": "pg", "listen_port": 15432}}]}
    cluster.deploy(ns(namespace, database, volumes=("pgdata",)))
    place(cluster, service, "machine-a")
    address = cluster.slot(service)["ipv4"]
    sql(cluster, "machine-a", address, "create table acknowledged (number int)")
    through_the_gateway = WRITING.replace('"-h", sys.argv[1]', '"-h", sys.argv[1], "-p", "15432"')
    with client(cluster, gateway, through_the_gateway, "127.0.0.1") as writing:
        for target in ("machine-b", "machine-a"):
            cluster.migrate(service, target)
    kept = sql(cluster, "machine-a", address, "select number from acknowledged order by number").split()
    assert {str(each) for each in writing.answers} <= set(kept)


def test_a_route_of_another_service_is_refused_at_preview(cluster: Cluster, namespace: str) -> None:
    hostname = f"{namespace}.example"
    cluster.deploy(routed(namespace, hostname))
    taken = cluster.ctl("deploy", "preview", "-f", "-", stdin=json.dumps(routed(f"{namespace}-2", hostname)))
    assert (taken.exit_code, taken.payload["plan"]["blockers"][0]["code"]) == (1, "route-taken")
