"""Daemons that die and machines that lose their power: what runs goes on, and what stopped comes back."""

from __future__ import annotations

import json

import pytest

from tests.e2e.clients import COUNTING, client, counts, sql
from tests.e2e.cluster import MACHINES, Cluster, eventually, no_trace_on
from tests.e2e.manifests import HTTP, count, counter, fill, namespace_of, postgres, web
from tests.e2e.manifests import namespace as ns

pytestmark = [pytest.mark.lab, pytest.mark.moves]


def test_a_restart_of_ployzd_disturbs_nothing(cluster: Cluster, namespace: str) -> None:
    stateless = web("front", volume=None) | {"service_ports": [HTTP], "placement": "global"}
    cluster.deploy(ns(namespace, web(), stateless, volumes=("data",)))
    row = cluster.slot(f"{namespace}/web")

    def running() -> dict[str, str]:
        found = {}
        for machine in MACHINES:
            for name in cluster.containers(machine, namespace):
                found[name] = cluster.inspect(machine, name, "{{.Id}} {{.State.StartedAt}} {{.State.Running}}")
        return found

    before = running()
    assert len(before) == 1 + len(MACHINES)
    with client(cluster, "machine-c", COUNTING, row["ipv4"], f"[{row['ipv6']}]") as counting:
        for machine in MACHINES:
            cluster.run("daemon", machine, "kill")
            cluster.run("daemon", machine, "start")
        eventually(lambda: all(each["reachable"] for each in cluster.get("machine", "ls")["machines"]))
    assert running() == before
    answered = counts(counting)
    assert answered == list(range(answered[0], answered[0] + len(answered)))  # not one request failed
    cluster.migrate(f"{namespace}/web", next(each for each in MACHINES if each != row["machine"]))


def test_services_are_served_while_every_daemon_is_down(cluster: Cluster, service: str) -> None:
    row = cluster.slot(service)
    fetch = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
    for machine in MACHINES:
        cluster.run("daemon", machine, "kill")
    for machine in MACHINES:
        answer = json.loads(cluster.python(machine, fetch, f"http://[{row['ipv6']}]:8080/"))
        assert answer["machine"] == row["machine"]


@pytest.mark.parametrize("machine", ["machine-b", "machine-a"])
def test_a_power_cut_loses_nothing_that_was_acknowledged(cluster: Cluster, namespace: str, machine: str) -> None:
    """machine-a is the founder too, which sequences the facts."""
    volumes = ("pgdata", "data")
    services = [postgres() | {"on": [machine]}, web() | {"on": [machine]}]
    cluster.deploy(ns(namespace, *services, volumes=volumes))
    web_row, db_row = cluster.slot(f"{namespace}/web"), cluster.slot(f"{namespace}/db")
    assert [count(cluster, f"{namespace}/web") for _ in range(3)] == [1, 2, 3]
    sql(cluster, machine, db_row["ipv4"], "create table kept as select generate_series(1, 1000) as n")
    head = cluster.facts()

    cluster.run("crash", machine)
    witness = next(each for each in MACHINES if each != machine)
    seen = cluster.get("machine", "ls", on=witness)["machines"]
    assert {each["machine"]: each["reachable"] for each in seen}[machine] is False
    cluster.run("boot", machine)

    eventually(lambda: [cluster.slot(f"{namespace}/{name}") for name in ("web", "db")] == [web_row, db_row])
    assert count(cluster, f"{namespace}/web") == 4
    query = "select count(*) from kept"
    eventually(lambda: try_sql(cluster, witness, db_row["ipv6"], query), lambda found: found == "1000")
    assert cluster.facts() == head
    assert cluster.get("events", "verify", on=machine)["findings"] == []
    cluster.deploy(ns(namespace, *({**each, "on": []} for each in services), volumes=volumes))
    cluster.migrate(f"{namespace}/web", witness)
    assert count(cluster, f"{namespace}/web") == 5


def try_sql(cluster: Cluster, machine: str, address: str, query: str) -> str:
    argv = ["psql", "-qtA", "-h", address, "-U", "postgres", "-d", "app", "-c", query]
    return cluster.try_("exec", machine, "--", *argv).stdout.strip()


def test_a_move_whose_target_lost_its_power_in_mid_stream_is_aborted_while_it_waits(
    cluster: Cluster, service: str
) -> None:
    fill(cluster, service, 24)
    cluster.run("limit", "machine-c", "30mbit")
    with cluster.going_on(service, "machine-c") as move:
        move.until(lambda line: line.get("sent_bytes", 0) > 0)
        cluster.run("crash", "machine-c")
        move.until(
            lambda line: "the link is lost" in line.get("text", "")
        )  # it waits for minutes, and the service runs
        assert count(cluster, service) == 2
        cluster.get("operation", "abort", move.operation_id, on="machine-b")
        answer = move.end()
    assert answer.exit_code == 3, answer
    assert (cluster.slot(service)["machine"], count(cluster, service)) == ("machine-b", 3)
    cluster.run("boot", "machine-c")
    cluster.run("limit", "machine-c", "none")
    namespace = namespace_of(service)
    eventually(lambda: no_trace_on(cluster, "machine-c", namespace))
    eventually(lambda: all(each["reachable"] for each in cluster.get("machine", "ls")["machines"]))
    cluster.migrate(service, "machine-c")
    assert count(cluster, service) == 4


def test_a_deploy_whose_watcher_goes_away_ends_all_the_same(cluster: Cluster, namespace: str) -> None:
    slow = counter(namespace)
    slow["services"][0]["template"] |= {
        "entrypoint": ["/bin/sh", "-c"],
        "command": ["sleep 2; exec /usr/local/bin/web"],
    }
    cluster.inside("machine-a", "sh", "-c", f"cat > /run/{namespace}.json <<'E'\n{json.dumps(slow)}\nE")
    deploy = ["ployzctl", "--json", "deploy", "-f", f"/run/{namespace}.json"]
    with cluster.start("machine-a", *deploy) as process:
        assert process.stdout is not None
        operation = json.loads(process.stdout.readline())["payload"]["operation_id"]
        process.kill()
    for machine in MACHINES:
        watched = cluster.ctl("deploy", "watch", operation, on=machine)
        assert (watched.exit_code, watched.payload["committed"]) == (0, True)
