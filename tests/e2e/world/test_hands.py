"""What an operator's own hands and files do to a machine: a name that was changed, a file of another namespace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import Json, count, namespace_of, sleeper
from tests.e2e.manifests import namespace as ns
from tests.labs import REPOSITORY

pytestmark = pytest.mark.lab


def test_the_wrong_file_removes_nothing_that_was_not_agreed_to(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    wrong = ns(namespace, sleeper("other"))
    previewed = cluster.preview(wrong)
    assert {each["service"]: each["change"] for each in previewed["plan"]["slots"]} == {
        "web": "remove",
        "other": "create",
    }
    path = f"/run/{namespace}.json"
    cluster.inside("machine-a", "sh", "-c", f"cat >{path} <<'END'\n{json.dumps(wrong)}\nEND")
    said = cluster.inside("machine-a", "ployzctl", "deploy", "preview", "-f", path)
    assert "1 slot: web/slot-1" in said
    assert f"ends: web, 1 slot on machine-b; {namespace}/data stays" in said
    assert "no running service is stopped" not in said
    head, running = cluster.facts(), cluster.containers("machine-b", namespace)
    refused = cluster.try_deploy(wrong)
    assert (refused.exit_code, refused.code) == (1, "removes")
    assert "--remove" in refused.advice
    assert (cluster.facts(), cluster.containers("machine-b", namespace)) == (head, running)
    done = cluster.inside("machine-a", "ployzctl", "deploy", "-f", path, "--remove")
    assert "1 slot: web/slot-1" in done
    assert cluster.slots(service) == []


def test_a_port_of_ployz_itself_is_refused_in_the_preview_which_says_whose_it_is(
    cluster: Cluster, namespace: str
) -> None:
    """Pi-hole's, and those of ployzd and WireGuard."""
    for port, protocol, whose in ((53, "udp", "ployz's name server"), (7701, "tcp", "ployzd")):
        published = {
            "on": ["machine-b"],
            "service_ports": [{"name": "p", "container_port": 53, "protocol": protocol}],
            "publish": [{"service_port": "p", "host_port": port}],
        }
        wrong = json.dumps(ns(namespace, sleeper("pihole") | published))
        previewed = cluster.ctl("deploy", "preview", "-f", "-", stdin=wrong)
        assert (previewed.exit_code, previewed.code) == (1, "port-taken")
        assert f"port {port} of machine-b ({protocol}) is taken by {whose}" in previewed.message


def findings(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Of slots of this namespace, by service, from another machine than theirs."""
    found = cluster.ctl("doctor", on="machine-c").payload["findings"]
    return {
        each["text"].split("/")[1]: each["kind"]
        for each in found
        if each["kind"].startswith("slot-") and each["text"].startswith(f"{namespace}/")
    }


def test_a_service_that_is_ill_is_named_by_the_doctor_and_restarted_where_that_is_asked_for(
    cluster: Cluster, namespace: str
) -> None:
    """All at once, so that they are waited for together."""
    on_b = {"on": ["machine-b"]}
    stuck = {"readiness": {"exec": {"command": ["test", "!", "-e", "/tmp/stuck"]}, "interval": "1s"}}
    once = "until [ -e /tmp/end ]; do sleep 0.1; done; exit 3"
    services = [
        sleeper("well") | on_b | stuck,
        sleeper("unready") | on_b | stuck,
        sleeper("again") | on_b | stuck | {"on_unready": "restart"},
        sleeper("paused") | on_b,
        sleeper("looping", command=[once]) | on_b,
        sleeper("failed", command=[once]) | on_b | {"restart": "no"},
    ]
    cluster.deploy(ns(namespace, *services))
    assert findings(cluster, namespace) == {}
    names = {each["name"]: cluster.container("machine-b", f"{namespace}/{each['name']}") for each in services}
    for ill in ("unready", "again"):
        cluster.inside("machine-b", "docker", "exec", names[ill], "touch", "/tmp/stuck")
    for ill in ("looping", "failed"):
        cluster.inside("machine-b", "docker", "exec", names[ill], "touch", "/tmp/end")
    cluster.inside("machine-b", "docker", "pause", names["paused"])
    wanted = {"unready": "slot-unready", "paused": "slot-paused", "looping": "slot-crash-loop", "failed": "slot-exited"}
    eventually(lambda: findings(cluster, namespace), lambda found: wanted.items() <= found.items(), within_s=60)
    eventually(lambda: cluster.slot(f"{namespace}/again")["restarts"], lambda times: times == 1)
    states = {each: cluster.slot(f"{namespace}/{each}")["state"] for each in ("well", "unready", "paused", "failed")}
    assert states == {"well": "running", "unready": "unready", "paused": "paused", "failed": "exited (3)"}
    cluster.inside("machine-b", "docker", "unpause", names["paused"])
    cluster.inside("machine-b", "docker", "exec", names["unready"], "rm", "/tmp/stuck")
    healed = ("paused", "unready", "again", "well")
    eventually(lambda: findings(cluster, namespace), lambda found: not set(healed) & set(found))


_WITH_VOLUME = """
made=$(docker create web:latest true) && docker commit --change 'VOLUME /pg' $made "$1" >/dev/null && docker rm $made
"""


def test_what_no_mount_covers_is_named_and_a_container_that_wrote_there_is_not_replaced_or_moved(
    cluster: Cluster, namespace: str
) -> None:
    """As an image of PostgreSQL 18 does: it declares one folder, and the manifest mounts another one in it."""
    image = f"{namespace}:latest"
    cluster.inside("machine-b", "sh", "-c", _WITH_VOLUME, "sh", image)
    mounts = [{"source": {"volume": "data"}, "target": "/pg/data"}]

    def manifest(**more: Any) -> Json:
        template = {"image": image, "pull_policy": "never", "mounts": mounts, **more}
        return ns(namespace, sleeper("db", **template) | {"on": ["machine-b", "machine-c"]}, volumes=("data",))

    volumes = ("docker", "volume", "ls", "-q")
    before = set(cluster.inside("machine-b", *volumes).split())
    first = cluster.deploy(manifest() | {"services": [manifest()["services"][0] | {"on": ["machine-b"]}]})
    (slot,) = first["plan"]["slots"]
    assert slot["uncovered"] == [{"path": "/pg", "written": False, "disposable": False}]
    cluster.deploy(manifest())
    cluster.in_container("machine-b", f"{namespace}/db", "sh", "-c", "mkdir -p /pg/18/docker; date >/pg/18/docker/x")
    running = cluster.container("machine-b", f"{namespace}/db")
    for refused in (
        cluster.try_deploy(manifest(env={"NEW": "1"})),
        cluster.try_migrate(f"{namespace}/db", "machine-c"),
    ):
        assert (refused.exit_code, refused.code) == (1, "data-uncovered")
        assert "/pg" in refused.message
    assert cluster.container("machine-b", f"{namespace}/db") == running
    (kept,) = set(cluster.inside("machine-b", *volumes).split()) - before
    cluster.deploy({"namespace": namespace, "volumes": [{"name": "data"}]}, "--remove")
    assert kept in cluster.inside("machine-b", *volumes)
    cluster.inside("machine-b", "docker", "volume", "rm", kept)

    disposable = manifest(disposable=["/pg"])
    disposable["services"][0]["on"] = ["machine-b"]
    cluster.deploy(disposable)
    cluster.in_container("machine-b", f"{namespace}/db", "touch", "/pg/cache")
    disposable["services"][0]["template"]["env"] = {"NEW": "1"}
    assert cluster.deploy(disposable)["committed"]
    assert len(set(cluster.inside("machine-b", *volumes).split()) - before) == 1


def test_a_finished_job_moves_finished(cluster: Cluster, namespace: str) -> None:
    job = sleeper(
        "job", command=["sleep 3; date >>/data/ran"], mounts=[{"source": {"volume": "data"}, "target": "/data"}]
    )
    job |= {"restart": "no"}
    cluster.deploy(ns(namespace, job | {"on": ["machine-b"]}, volumes=("data",)))
    eventually(lambda: cluster.slot(f"{namespace}/job")["state"], lambda state: state == "exited (0)")
    cluster.deploy(ns(namespace, job, volumes=("data",)))
    cluster.migrate(f"{namespace}/job", "machine-c")
    moved = cluster.slot(f"{namespace}/job")
    assert (moved["machine"], moved["state"]) == ("machine-c", "exited (0)")
    made = cluster.container("machine-c", f"{namespace}/job")
    assert cluster.inspect("machine-c", made, "{{.State.Status}}") == "created"


_RUNNING = "docker ps --no-trunc --format '{{.ID}} {{.Names}}' | sort; zfs list -H -t all -o name"


def test_another_name_in_the_configuration_starts_nothing_and_removes_nothing(cluster: Cluster, service: str) -> None:
    counted = count(cluster, service)
    before = cluster.inside("machine-b", "sh", "-c", _RUNNING)
    assert namespace_of(service) in before
    cluster.run("daemon", "machine-b", "kill")
    for change, said in (
        ('s/^machine = .*/machine = "machine-x"/', "the identity is machine-b's"),
        ('s/^cluster = .*/cluster = "another"/', "config.toml says cluster another"),
    ):
        start = (
            f"sed '{change}' /etc/ployz/config.toml >/run/other.toml; {REPOSITORY}/bin/ployzd --config /run/other.toml"
        )
        ended = cluster.try_("exec", "machine-b", "--", "timeout", "20", "sh", "-c", start)
        assert ended.returncode == 1, ended.stderr
        assert "error [identity]" in ended.stderr
        assert said in ended.stderr
        assert cluster.inside("machine-b", "sh", "-c", _RUNNING) == before
    cluster.run("daemon", "machine-b", "start")
    assert count(cluster, service) == counted + 1
