"""What a manifest says about a container, seen in the container."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import HTTP, counter, sleeper, web
from tests.e2e.manifests import namespace as ns

pytestmark = pytest.mark.lab


def test_env_user_resources_and_command_arrive_in_the_container(cluster: Cluster, namespace: str) -> None:
    service = sleeper(
        env={"GREETING": "hello, wörld"},
        user="999",
        labels={"team": "shop"},
        resources={"cpu_millicores": 250, "memory_bytes": "64M"},
        cap_drop=["NET_RAW"],
    )
    cluster.deploy(ns(namespace, service | {"on": ["machine-b"]}))
    said = cluster.in_container("machine-b", f"{namespace}/sleeper", "sh", "-c", "echo $GREETING; id -u; env")
    greeting, user, *rest = said.splitlines()
    assert (greeting, user) == ("hello, wörld", "999")
    assert {"PLOYZ_MACHINE=machine-b", f"PLOYZ_NAMESPACE={namespace}", "PLOYZ_SLOT=slot-1"} <= set(rest)
    container = cluster.container("machine-b", f"{namespace}/sleeper")
    settings = '{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.CapDrop}} {{index .Config.Labels "team"}}'
    assert cluster.inspect("machine-b", container, settings) == f"250000000 {64 << 20} [NET_RAW] shop"
    assert cluster.inspect("machine-b", container, "{{.HostConfig.RestartPolicy.Name}}") in ("", "no")


def test_volumes_folders_and_memory_are_mounted_as_declared(cluster: Cluster, namespace: str) -> None:
    cluster.inside("machine-b", "mkdir", "-p", f"/etc/{namespace}")
    cluster.inside("machine-b", "touch", f"/etc/{namespace}/from-host")
    mounts = [
        {"source": {"volume": "data"}, "target": "/data"},
        {"source": {"volume": "data"}, "target": "/read", "readonly": True},
        {"source": {"bind": f"/etc/{namespace}"}, "target": "/host"},
        {"source": "tmpfs", "target": "/memory"},
    ]
    service = sleeper(mounts=mounts, user="999") | {"on": ["machine-b"]}
    volume = {"name": "data", "quota": "32M", "mode": "0750", "owner": "999:999"}
    cluster.deploy(ns(namespace, service, volumes=(volume,)))

    def shell(command: str) -> str:
        return cluster.in_container("machine-b", f"{namespace}/sleeper", "sh", "-c", command)

    assert shell("stat -c '%a %u:%g' /data") == "750 999:999\n"
    assert shell("echo kept >/data/file; cat /read/file; ls /host; touch /memory/x; ls /memory") == (
        "kept\nfrom-host\nx\n"
    )
    assert "Read-only" in shell("touch /read/other 2>&1 || true")
    assert "quota" in shell("dd if=/dev/zero of=/data/big bs=1M count=64 2>&1 || true").lower()
    assert "tank/ployz" in cluster.inside(
        "machine-b", "cat", f"/var/lib/ployz/volumes/{namespace}/data/../../../../../../proc/mounts"
    )
    cluster.inside("machine-b", "rm", "-r", f"/etc/{namespace}")


def test_a_missing_folder_of_the_host_is_named_and_not_made(cluster: Cluster, namespace: str) -> None:
    mounts = [{"source": {"bind": f"/etc/{namespace}"}, "target": "/host"}]
    answer = cluster.try_deploy(ns(namespace, sleeper(mounts=mounts) | {"on": ["machine-b"]}))
    assert answer.exit_code == 3
    assert f"/etc/{namespace}" in answer.message
    assert cluster.try_("exec", "machine-b", "--", "test", "-e", f"/etc/{namespace}").returncode == 1


def test_a_published_port_answers_on_the_machine_alone(cluster: Cluster, namespace: str) -> None:
    service = web(volume=None) | {
        "service_ports": [HTTP],
        "publish": [{"service_port": "http", "host_port": 18081}],
        "on": ["machine-b"],
    }
    machines = cluster.machines()
    beside_the_name_server = {"service_port": "http", "host_port": 53, "host_ip": machines["machine-c"]["address"]}
    service["publish"].append(beside_the_name_server)
    without = cluster.try_deploy(ns(namespace, service))
    assert (without.exit_code, without.code) == (1, "no-such-address"), without
    beside_the_name_server["host_ip"] = machines["machine-b"]["address"]
    cluster.deploy(ns(namespace, service))
    program = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())"
    for port in (18081, 53):
        url = f"http://{machines['machine-b']['address']}:{port}/healthz"
        assert "true" in cluster.python("machine-a", program, url)
    elsewhere = f"http://{machines['machine-c']['address']}:18081/healthz"
    refused = cluster.try_("exec", "machine-a", "--", "python3", "-c", program, elsewhere)
    assert "Connection refused" in refused.stderr


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_a_killed_container_is_started_again_with_its_volume(cluster: Cluster, namespace: str, policy: str) -> None:
    manifest = counter(namespace)
    manifest["services"][0] |= {"restart": policy, "on": ["machine-b"]}
    cluster.deploy(manifest)
    container = cluster.container("machine-b", f"{namespace}/web")
    started = cluster.inspect("machine-b", container, "{{.State.StartedAt}}")
    cluster.inside("machine-b", "kill", "-9", cluster.inspect("machine-b", container, "{{.State.Pid}}"))
    status = "{{.State.Running}} {{.State.StartedAt}}"
    eventually(
        lambda: cluster.inspect("machine-b", container, status),
        lambda now: now.startswith("true") and started not in now,
    )
    stream = ["events", "tail", "--stream", f"service/{namespace}/web"]
    lines = cluster.ctl(*stream, on="machine-b").lines
    assert "container.exited/1" in [line["payload"]["name"] for line in lines]


def test_a_container_that_may_not_be_started_again_stays_ended(cluster: Cluster, namespace: str) -> None:
    until_told = sleeper(command=["until [ -e /tmp/end ]; do sleep 0.1; done"])
    cluster.deploy(ns(namespace, until_told | {"restart": "on-failure", "on": ["machine-b"]}))
    cluster.in_container("machine-b", f"{namespace}/sleeper", "touch", "/tmp/end")
    row = eventually(lambda: cluster.slot(f"{namespace}/sleeper"), lambda row: row["state"] != "running")
    assert row["state"] == "exited (0)"
    container = cluster.container("machine-b", f"{namespace}/sleeper")
    assert cluster.inspect("machine-b", container, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"
    stream = ["events", "tail", "--stream", f"service/{namespace}/sleeper"]
    names = [line["payload"]["name"] for line in cluster.ctl(*stream, on="machine-b").lines]
    assert "container.restarted/1" not in names[names.index("container.exited/1") :]
