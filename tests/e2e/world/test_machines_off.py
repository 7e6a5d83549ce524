"""A machine that is off, and one that is emptied: the rest is done, and what waits or stays is said with its reason."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import Json, count, sleeper, web
from tests.e2e.manifests import namespace as ns

pytestmark = pytest.mark.lab

THREE = {"placement": {"replicated": {"count": 3}}}
TWO = {"placement": {"replicated": {"count": 2}}}
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


def scattered(namespace: str, front: Json, bound: Json, **template: str) -> Json:
    bind = {"mounts": [{"source": {"bind": "/srv"}, "target": "/srv"}]}
    services = [
        web(),
        web("front", volume=None, env=template) | front,
        sleeper("worker") | bound,
        sleeper("bound", **bind) | {"on": ["machine-b"]},
    ]
    return ns(namespace, *services, volumes=("data",))


def on_b(cluster: Cluster, namespace: str) -> list[str]:
    running = cluster.containers("machine-b", namespace, "--filter", "status=running")
    return sorted({name.split(".")[1] for name in running if not name.endswith(".net")})


def homes(cluster: Cluster, service: str) -> dict[str, str]:
    return {each["slot"]: each["machine"] for each in cluster.slots(service)}


def test_a_machine_that_is_off_holds_up_nothing_elsewhere(cluster: Cluster, namespace: str) -> None:
    cluster.inside("machine-b", "mkdir", "-p", "/srv")
    first = scattered(namespace, THREE, THREE)
    first["services"][0] |= {"on": ["machine-b"]}
    cluster.deploy(first)
    cluster.deploy(scattered(namespace, THREE, THREE))
    assert count(cluster, f"{namespace}/web") == 1
    front, worker = homes(cluster, f"{namespace}/front"), homes(cluster, f"{namespace}/worker")
    (dead_front,) = (slot for slot, machine in front.items() if machine == "machine-b")
    (dead_worker,) = (slot for slot, machine in worker.items() if machine == "machine-b")
    row = next(each for each in cluster.slots(f"{namespace}/front") if each["slot"] == dead_front)
    cluster.run("crash", "machine-b")

    done = cluster.try_deploy(scattered(namespace, THREE, TWO, GREETING="new"))
    assert (done.exit_code, done.payload["committed"]) == (4, True)
    waiting = {(each["service"], each["slot"]): each["change"] for each in done.payload["plan"]["waiting"]}
    assert waiting == {("front", dead_front): "replace", ("worker", dead_worker): "remove"}
    assert homes(cluster, f"{namespace}/worker") == {
        slot: machine for slot, machine in worker.items() if slot != dead_worker
    }

    drained = cluster.ctl("machine", "drain", "machine-b", "--gone")
    assert drained.exit_code == 4
    staying = [each["reason"]["code"] for each in drained.payload["staying"]]
    assert sorted(staying) == ["bind-mount", "owned-elsewhere"]
    replaced = homes(cluster, f"{namespace}/front")
    assert "machine-b" not in replaced.values()
    cluster.python("machine-c", FETCH, f"http://{row['ipv4']}:8080/healthz")  # the address is answered elsewhere

    cluster.run("boot", "machine-b")
    eventually(lambda: on_b(cluster, namespace), lambda found: found == ["bound", "web"], within_s=60)
    assert homes(cluster, f"{namespace}/front") == replaced
    cluster.python("machine-c", FETCH, f"http://{row['ipv4']}:8080/healthz")
    assert count(cluster, f"{namespace}/web") == 2

    moved = cluster.ctl("machine", "drain", "machine-b", "--migrate")
    assert (moved.exit_code, moved.code) == (4, "bind-mount")
    assert cluster.slot(f"{namespace}/web")["machine"] != "machine-b"
    assert count(cluster, f"{namespace}/web") == 3
    assert on_b(cluster, namespace) == ["bound"]
    cluster.get("machine", "activate", "machine-b")
