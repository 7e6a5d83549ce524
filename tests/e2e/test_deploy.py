"""Deploying, changing and removing services, as their users see it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.cluster import MACHINES, Cluster, eventually
from tests.e2e.manifests import QUICK, counter, postgres, sleeper, web
from tests.e2e.manifests import namespace as ns

pytestmark = pytest.mark.lab


def changes(payload: dict[str, Any]) -> dict[str, str]:
    return {f"{each['service']}/{each['slot']}": each["change"] for each in payload["plan"]["slots"]}


def get(cluster: Cluster, url: str, machine: str = "machine-a") -> dict[str, Any]:
    program = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
    answer: dict[str, Any] = json.loads(cluster.python(machine, program, url))
    return answer


def test_a_service_is_made_left_alone_replaced_and_removed(cluster: Cluster, namespace: str) -> None:
    manifest = counter(namespace, quota="64M")
    assert changes(cluster.deploy(manifest)) == {"web/slot-1": "create"}
    first = cluster.slot(f"{namespace}/web")
    url = f"http://{first['ipv4']}:8080/"
    assert get(cluster, url) == {"machine": first["machine"], "count": 1}

    head, running = cluster.facts(), cluster.container(first["machine"], f"{namespace}/web")
    assert changes(cluster.preview(manifest)) == {"web/slot-1": "unchanged"}
    assert cluster.deploy(manifest)["committed"] is False
    assert (cluster.facts(), cluster.container(first["machine"], f"{namespace}/web")) == (head, running)

    manifest["services"][0]["template"]["env"] = {"COLOUR": "blue"}
    assert changes(cluster.preview(manifest)) == {"web/slot-1": "replace"}
    cluster.deploy(manifest)
    second = cluster.slot(f"{namespace}/web")
    assert {key: second[key] for key in ("machine", "ipv4", "ipv6")} == {
        key: first[key] for key in ("machine", "ipv4", "ipv6")
    }
    assert cluster.in_container(first["machine"], f"{namespace}/web", "sh", "-c", "echo $COLOUR") == "blue\n"
    assert get(cluster, url)["count"] == 2

    cluster.deploy(ns(namespace, volumes=({"name": "data", "quota": "64M"},)), "--remove")
    assert cluster.slots(f"{namespace}/web") == []
    assert cluster.containers(first["machine"], namespace) == []
    assert cluster.volume(f"{namespace}/data")["row"]["used_by"] == []

    cluster.deploy(manifest)
    assert get(cluster, f"http://{cluster.slot(f'{namespace}/web')['ipv4']}:8080/")["count"] == 3


@pytest.mark.parametrize(
    ("readiness", "service"),
    [
        ({"http": {"service_port": "http", "path": "/healthz"}}, web(volume=None)),
        ({"tcp": {"service_port": "http"}}, web(volume=None)),
        ({"exec": {"command": ["wget", "-qO-", "http://127.0.0.1:8080/healthz"]}}, web(volume=None)),
    ],
    ids=["http", "tcp", "exec"],
)
def test_a_service_is_deployed_when_it_is_ready(
    cluster: Cluster, namespace: str, readiness: dict[str, Any], service: dict[str, Any]
) -> None:
    # It listens only after a while: whoever is told that it is deployed finds it answering.
    late = ["sleep 0.7; exec /usr/local/bin/web"]
    template = {**service["template"], "entrypoint": ["/bin/sh", "-c"], "command": late}
    cluster.deploy(ns(namespace, {**service, "readiness": {**readiness, **QUICK}, "template": template}))
    slot = cluster.slot(f"{namespace}/web")
    program = "import socket, sys; socket.create_connection((sys.argv[1], 8080), 5).close()"
    for machine in MACHINES:
        cluster.python(machine, program, slot["ipv6"])
        cluster.python(machine, program, slot["ipv4"])


@pytest.mark.parametrize(
    ("readiness", "command"),
    [
        ({"exec": {"command": ["false"]}}, "exec sleep 1000"),
        ({"tcp": {"service_port": "http"}}, "exec sleep 1000"),
        ({"tcp": {"service_port": "http"}}, "exit 7"),
    ],
    ids=["the probe fails", "nothing listens", "it exits"],
)
def test_a_candidate_that_never_gets_ready_is_undone_and_the_old_one_still_serves(
    cluster: Cluster, namespace: str, readiness: dict[str, Any], command: str
) -> None:
    manifest = counter(namespace)
    cluster.deploy(manifest)
    slot = cluster.slot(f"{namespace}/web")
    url = f"http://{slot['ipv4']}:8080/"
    assert get(cluster, url)["count"] == 1

    (service,) = manifest["services"]
    service["readiness"] = {**readiness, "interval": "200ms", "timeout": "500ms", "retries": 3}
    service["template"] |= {"entrypoint": ["/bin/sh", "-c"], "command": [command]}
    answer = cluster.try_deploy(manifest)
    assert (answer.exit_code, answer.code) == (3, "not-ready")
    assert "failed in phase start" in answer.message
    assert f"{namespace}.web.slot-1" in answer.message
    undone, runs = answer.message.splitlines()[-2:]
    assert undone == "undone; services and their data are where they were"
    assert runs.startswith(f"{namespace}/web/{slot['slot']} runs on {slot['machine']}, since ")

    assert get(cluster, url)["count"] == 2
    assert cluster.slot(f"{namespace}/web") == slot
    assert len(cluster.containers(slot["machine"], namespace)) == 1
    newest = cluster.get("deploy", "ls")["deploys"][0]
    assert (newest["namespace"], newest["status"]) == (namespace, "aborted")


def test_replicas_are_spread_and_each_has_an_address_of_its_own(cluster: Cluster, namespace: str) -> None:
    service = web(volume=None) | {"placement": {"replicated": {"count": 2}}}
    cluster.deploy(ns(namespace, service))
    slots = cluster.slots(f"{namespace}/web")
    assert len({slot["machine"] for slot in slots}) == len({slot["ipv4"] for slot in slots}) == 2
    for slot in slots:
        for machine in MACHINES:
            assert get(cluster, f"http://[{slot['ipv6']}]:8080/healthz", machine) == {"ok": True}

    service["placement"] = {"replicated": {"count": 1}}
    assert sorted(changes(cluster.deploy(ns(namespace, service))).values()) == ["remove", "unchanged"]
    assert len(cluster.slots(f"{namespace}/web")) == 1


def test_a_global_service_runs_on_every_machine(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(ns(namespace, web(volume=None) | {"placement": "global"}))
    assert {slot["machine"] for slot in cluster.slots(f"{namespace}/web")} == set(MACHINES)
    refused = cluster.try_migrate(f"{namespace}/web", "machine-b")
    assert (refused.exit_code, refused.code) == (1, "not-movable")


def test_toml_and_json_and_files_and_the_input_say_the_same(cluster: Cluster, namespace: str) -> None:
    toml = f"""
namespace = "{namespace}"
[[services]]
name = "sleeper"
[services.template]
image = "web:latest"
entrypoint = ["/bin/sh", "-c"]
command = ["trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]
stop_grace_period = "2s"
"""
    cluster.run("exec", "machine-a", "--", "tee", f"/run/{namespace}.toml", stdin=toml)
    cluster.get("deploy", "-f", f"/run/{namespace}.toml")
    for same in (toml, json.dumps(ns(namespace, sleeper()))):
        plan = cluster.get("deploy", "preview", "-f", "-", stdin=same)["plan"]
        assert [slot["change"] for slot in plan["slots"]] == ["unchanged"]
    missing = cluster.ctl("deploy", "-f", "/run/none.toml")
    assert (missing.exit_code, missing.code) == (1, "usage")
    assert missing.message == "/run/none.toml: No such file or directory"


def test_every_mistake_of_a_manifest_is_listed_with_its_path(cluster: Cluster) -> None:
    wrong = {
        "namespace": "a b",
        "volumes": [{"name": "data", "quota": -1}, {"name": "data", "colour": "blue"}],
        "services": [
            {
                "name": "",
                "service_ports": [{"name": "http", "container_port": 65536}],
                "publish": [{"service_port": "htpp", "host_port": 0}],
                "template": {"image": 7, "mounts": [{"source": {"volume": "dta"}, "target": "data"}]},
            }
        ],
    }
    head = cluster.facts()
    answer = cluster.ctl("deploy", "-f", "-", stdin=json.dumps(wrong))
    assert (answer.exit_code, answer.code) == (1, "invalid-manifest")
    for path in (
        "namespace",
        "volumes[0].quota",
        "volumes[1].colour",
        "volumes[1].name",
        "services[0].name",
        "services[0].service_ports[0].container_port",
        "services[0].publish[0].host_port",
        "services[0].publish[0].service_port",
        "services[0].template.image",
        "services[0].template.mounts[0].target",
        "services[0].template.mounts[0].source",
    ):
        assert f"{path}" in answer.message
    assert cluster.facts() == head


def test_a_published_port_of_another_namespace_is_taken(cluster: Cluster, namespace: str) -> None:
    published = web(volume=None) | {"publish": [{"service_port": "http", "host_port": 18080}]}
    cluster.deploy(ns(namespace, published | {"on": ["machine-b"]}))
    underlay = cluster.machines()["machine-b"]["address"]
    assert get(cluster, f"http://{underlay}:18080/healthz", "machine-c") == {"ok": True}

    other = ns(f"{namespace}-2", published | {"on": ["machine-b"]})
    head = cluster.facts()
    answer = cluster.try_deploy(other)
    assert (answer.exit_code, answer.code) == (1, "port-taken")
    assert f"port 18080 of machine-b is published by {namespace}/web" in answer.message
    assert cluster.facts() == head


def test_what_a_service_prints_and_how_it_stands_is_shown_everywhere(cluster: Cluster, namespace: str) -> None:
    said = ["echo out; echo aside >&2; exec sleep 1000"]
    cluster.deploy(ns(namespace, sleeper(command=said) | {"on": ["machine-b"]}, volumes=("data",)))
    eventually(lambda: "aside" in cluster.get("service", "logs", f"{namespace}/sleeper")["text"])
    for machine in MACHINES:
        logs = cluster.get("service", "logs", f"{namespace}/sleeper", on=machine)["text"]
        assert sorted(line.split()[-1] for line in logs.splitlines()) == ["aside", "out"]
        detail = cluster.get("service", "show", f"{namespace}/sleeper", on=machine)
        assert [slot["machine"] for slot in detail["slots"]] == ["machine-b"]
        assert detail["slots"][0]["state"] == "running"
    plain = cluster.inside("machine-a", "ployzctl", "service", "ls")
    assert f"{namespace}/sleeper" in plain


def test_a_removed_service_leaves_its_volume_which_is_removed_when_nothing_declares_it(
    cluster: Cluster, namespace: str
) -> None:
    cluster.deploy(counter(namespace))
    refused = cluster.ctl("volume", "rm", f"{namespace}/data", "--yes")
    assert (refused.exit_code, refused.code) == (1, "volume-in-use")
    cluster.get("service", "rm", f"{namespace}/web", "--yes")
    assert cluster.slots(f"{namespace}/web") == []
    refused = cluster.ctl("volume", "rm", f"{namespace}/data", "--yes")
    assert (refused.exit_code, refused.code) == (1, "volume-in-use")
    assert refused.advice
    cluster.deploy(ns(namespace))
    cluster.get("volume", "rm", f"{namespace}/data", "--yes")
    gone = cluster.ctl("volume", "show", f"{namespace}/data")
    assert (gone.exit_code, gone.code) == (1, "unknown-volume")
    again = cluster.ctl("service", "rm", f"{namespace}/web", "--yes")
    assert (again.exit_code, again.code) == (1, "unknown-service")


def test_deploys_are_listed_and_shown_on_every_machine(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(ns(namespace, postgres(), volumes=({"name": "pgdata", "mode": "0700"},)), on="machine-c")
    for machine in MACHINES:
        newest = cluster.get("deploy", "ls", on=machine)["deploys"][0]
        assert (newest["namespace"], newest["status"], newest["coordinator"]) == (namespace, "committed", "machine-c")
        shown = cluster.get("deploy", "show", newest["operation_id"], on=machine)
        assert shown["row"] == newest
    unknown = cluster.ctl("deploy", "show", "op-0000000000000000000")
    assert (unknown.exit_code, unknown.code) == (1, "unknown-deploy")
