from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from ployz.host.docker import pause, translate
from ployz.host.ports import BindMount, BridgeNetwork, Container, ContainerEvent, ContainerSpec, Image, PublishedPort

SPEC = ContainerSpec(
    name="production.db.slot-1.op-1",
    image_id="sha256:aa",
    labels={"ployz.service": "db"},
    ipv6="fd00:1:2:1::7",
    ipv4="10.210.0.7",
)
OLD_API = (1, 41)
NETWORK_OF_SPEC = translate.network_of(SPEC, "ployz", OLD_API)
NETWORK = BridgeNetwork("ployz", "br-ployz", "fd00:1:2:1::/64", "fd00:1:2:1::1", "10.210.0.0/16", "10.210.0.1")


def inspected(**state: Any) -> dict[str, Any]:
    started = {
        "Status": "running",
        "Running": True,
        "Restarting": False,
        "Pid": 42,
        "ExitCode": 0,
        "StartedAt": "2026-11-28T08:00:00.12Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    }
    return {
        "Id": "c1",
        "Name": "/production.db.slot-1.op-1",
        "Image": "sha256:aa",
        "Config": {"Labels": {"ployz.service": "db"}},
        "State": {**started, **state},
    }


# ---------------------------------------------------------------- containers


def test_a_container_has_its_fixed_addresses_on_the_one_network() -> None:
    body = translate.container_body(SPEC, NETWORK_OF_SPEC)
    assert body["HostConfig"]["NetworkMode"] == "ployz"
    assert body["NetworkingConfig"]["EndpointsConfig"] == {
        "ployz": {"IPAMConfig": {"IPv4Address": "10.210.0.7", "IPv6Address": "fd00:1:2:1::7"}}
    }


def test_a_hardware_address_follows_from_the_address_in_the_words_of_each_api() -> None:
    mac = "02:42:0a:d2:00:07"
    assert NETWORK_OF_SPEC["MacAddress"] == mac
    newer = translate.network_of(SPEC, "ployz", (1, 44))
    assert newer["NetworkingConfig"]["EndpointsConfig"]["ployz"]["MacAddress"] == mac
    assert "MacAddress" not in newer


def test_a_container_that_joins_a_network_says_nothing_of_its_own_about_it() -> None:
    spec = evolve(SPEC, hostname="db", ports=(PublishedPort(80, 80),), sysctls={"net.a": "1", "kernel.b": "2"})
    body = translate.container_body(spec, translate.joined("db.net"))
    assert body["HostConfig"]["NetworkMode"] == "container:db.net"
    assert {"Hostname", "ExposedPorts", "NetworkingConfig", "MacAddress"}.isdisjoint(body)
    assert "PortBindings" not in body["HostConfig"]
    assert body["HostConfig"]["Sysctls"] == {"kernel.b": "2"}


def test_what_holds_a_network_has_all_of_it_and_is_no_container_of_a_service() -> None:
    spec = evolve(SPEC, hostname="db", ports=(PublishedPort(80, 80),), sysctls={"net.a": "1", "kernel.b": "2"})
    body = pause.holder_body(spec, translate.network_of(spec, "ployz", OLD_API))
    assert (body["Hostname"], body["ExposedPorts"]) == ("db", {"80/tcp": {}})
    assert body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostPort": "80"}]}
    assert body["HostConfig"]["Sysctls"] == {"net.a": "1"}
    assert (body["HostConfig"]["CapDrop"], body["HostConfig"]["ReadonlyRootfs"]) == (["ALL"], True)
    assert not [label for label in body["Labels"] if label.startswith("ployz.")]


def test_what_the_spec_leaves_open_is_left_to_the_image() -> None:
    body = translate.container_body(SPEC, NETWORK_OF_SPEC)
    assert {"Cmd", "Entrypoint", "StopSignal"}.isdisjoint(body)
    body = translate.container_body(
        evolve(SPEC, command=("-c", "x"), entrypoint=("/bin/run",), stop_signal="SIGINT"), NETWORK_OF_SPEC
    )
    assert (body["Cmd"], body["Entrypoint"], body["StopSignal"]) == (["-c", "x"], ["/bin/run"], "SIGINT")


def test_a_bind_is_a_mount_so_that_a_missing_source_is_never_made() -> None:
    spec = evolve(SPEC, mounts=(BindMount("/srv/data", "/data", readonly=True),), tmpfs=("/run",))
    config = translate.container_body(spec, NETWORK_OF_SPEC)["HostConfig"]
    assert "Binds" not in config
    assert config["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/srv/data",
            "Target": "/data",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rprivate"},
        },
        {"Type": "tmpfs", "Target": "/run"},
    ]


def test_one_port_may_be_published_twice() -> None:
    only = PublishedPort(53, 53, "udp", "127.0.0.1")
    spec = evolve(SPEC, ports=(PublishedPort(53, 53), PublishedPort(53, 5353), only))
    body = translate.container_body(spec, translate.network_of(spec, "ployz", OLD_API))
    assert body["ExposedPorts"] == {"53/tcp": {}, "53/udp": {}}
    assert body["HostConfig"]["PortBindings"] == {
        "53/tcp": [{"HostPort": "53"}, {"HostPort": "5353"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
    }


def test_limits_are_in_docker_s_units_and_logs_are_bounded() -> None:
    config = translate.container_body(evolve(SPEC, cpu_millicores=1500, memory_bytes=7), NETWORK_OF_SPEC)["HostConfig"]
    assert (config["NanoCpus"], config["Memory"]) == (1_500_000_000, 7)
    assert config["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert config["RestartPolicy"] == {"Name": "no"}


@pytest.mark.parametrize(
    ("state", "running", "exit_code", "pid"),
    [
        ({}, True, None, 42),
        ({"Status": "created", "Running": False, "Pid": 0}, False, None, 0),
        ({"Status": "exited", "Running": False, "Pid": 0, "ExitCode": 137}, False, 137, 0),
        ({"Status": "restarting", "Restarting": True, "Pid": 0, "ExitCode": 3}, False, 3, 0),
        ({"Status": "paused"}, True, None, 42),
    ],
)
def test_a_container_runs_when_it_has_a_process(
    state: dict[str, Any], running: bool, exit_code: int | None, pid: int
) -> None:
    assert translate.container(inspected(**state)) == Container(
        id="c1",
        name="production.db.slot-1.op-1",
        image_id="sha256:aa",
        labels={"ployz.service": "db"},
        running=running,
        exit_code=exit_code,
        pid=pid,
        paused=state.get("Status") == "paused",
        changed_ms=1_795_852_800_120 if running else 0,
    )


@pytest.mark.parametrize(
    ("text", "wall_ms"),
    [
        ("2026-11-28T08:00:00.123456789Z", 1_795_852_800_123),
        ("2026-11-28T08:00:00Z", 1_795_852_800_000),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
    ],
)
def test_times_of_docker_are_wall_times_and_never_is_nothing(text: str, wall_ms: int) -> None:
    assert translate.wall_ms(text) == wall_ms


def test_labels_that_came_with_the_image_make_no_difference() -> None:
    wanted = {"ployz.service": "db", "ployz.operation": "op-2"}
    assert translate.differing_labels(wanted, {**wanted, "maintainer": "somebody"}) == []
    assert translate.differing_labels(wanted, {"ployz.operation": "op-1"}) == [
        "ployz.service is missing",
        "ployz.operation is 'op-1', not 'op-2'",
    ]


@pytest.mark.parametrize(("grace_s", "seconds"), [(0, 0), (0.1, 1), (1, 1), (29.2, 30), (-1, 0)])
def test_a_grace_is_never_cut_short(grace_s: float, seconds: int) -> None:
    assert translate.grace_seconds(grace_s) == seconds


@pytest.mark.parametrize(
    ("message", "taken"),
    [
        (
            "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated",
            True,
        ),
        ("Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use", True),
        ("Address already in use", False),
    ],
)
def test_a_taken_port_is_told_from_a_taken_address(message: str, taken: bool) -> None:
    assert translate.is_port_taken(message) is taken


# ---------------------------------------------------------------- events


def news(action: str, **attributes: str) -> dict[str, Any]:
    return {"Type": "container", "Action": action, "Actor": {"ID": "c1", "Attributes": attributes}}


def test_only_containers_with_a_label_of_ours_make_news() -> None:
    assert translate.container_event(news("start", name="web", image="web:1")) is None
    value = news("start", **{"name": "db", "image": "db:1", "ployz.service": "db", "version": "7"})
    assert translate.container_event(value) == ContainerEvent("start", "c1", {"ployz.service": "db"}, None)


def test_a_death_has_an_exit_code() -> None:
    value = news("die", **{"exitCode": "137", "ployz.service": "db"})
    assert translate.container_event(value) == ContainerEvent("die", "c1", {"ployz.service": "db"}, 137)


# ---------------------------------------------------------------- images


def test_an_image_without_tags_has_none() -> None:
    assert translate.image({"Id": "sha256:aa", "Size": 5, "RepoTags": None}) == Image("sha256:aa", 5, ())


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    [
        ("postgres", "postgres", "latest"),
        ("postgres:17", "postgres", "17"),
        ("registry:5000/db", "registry:5000/db", "latest"),
        ("registry:5000/db:17", "registry:5000/db", "17"),
    ],
)
def test_a_port_in_a_reference_is_no_tag(reference: str, repository: str, tag: str) -> None:
    assert translate.repository_and_tag(reference) == (repository, tag)


def test_a_digest_needs_no_tag() -> None:
    assert translate.tagged("db@sha256:aa") == "db@sha256:aa"


def test_a_failed_pull_says_so_in_its_progress() -> None:
    progress = [{"status": "Pulling"}, {"errorDetail": {"message": "denied"}, "error": "denied"}]
    stream = b'...cut"}\r\n' + b"".join(json.dumps(each).encode() + b"\r\n" for each in progress)
    assert translate.pull_error(stream) == "denied"
    assert translate.pull_error(b'{"status":"Downloaded"}\r\n') is None


# ---------------------------------------------------------------- networks


def as_found(body: dict[str, Any]) -> dict[str, Any]:
    """The way an engine gives it back: pools in its own order, an IPv6 gateway with its prefix, options of its own."""
    pools = [dict(pool) for pool in reversed(body["IPAM"]["Config"])]
    pools[0]["Gateway"] += "/64"
    return {**body, "IPAM": {"Config": pools}, "Options": {**body["Options"], "com.example.other": "1"}}


def test_a_network_of_the_same_shape_is_recognised() -> None:
    body = translate.network_body(NETWORK, (1, 41))
    assert translate.network_differences(body, as_found(body)) == []


def test_a_network_of_another_shape_is_described() -> None:
    wanted = translate.network_body(NETWORK, (1, 41))
    other = evolve(NETWORK, bridge="br-other", ipv4_subnet="10.9.0.0/16", ipv4_gateway="10.9.0.1")
    found = {**as_found(translate.network_body(other, (1, 41))), "EnableIPv6": False}
    words = "; ".join(translate.network_differences(wanted, found))
    assert "IPv6 is False, not True" in words
    assert "10.9.0.0/16 via 10.9.0.1" in words
    assert "name is 'br-other', not 'br-ployz'" in words
    assert "mtu" not in words


def test_where_docker_filters_routed_packets_the_network_asks_it_not_to() -> None:
    mode = "com.docker.network.bridge.gateway_mode_ipv6"
    assert mode not in translate.network_body(NETWORK, (1, 47))["Options"]
    assert translate.network_body(NETWORK, (1, 48))["Options"][mode] == "nat-unprotected"


def test_api_versions_compare_as_numbers() -> None:
    assert translate.api_version("1.9") < translate.api_version("1.41")
