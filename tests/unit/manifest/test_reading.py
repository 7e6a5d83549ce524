"""Manifests that are fine, feature by feature."""

from __future__ import annotations

import json

import pytest

from ployz.manifest import Format, Manifest, parse, without_intent
from ployz.manifest.model import (
    BindSource,
    ExecProbe,
    Global,
    HttpProbe,
    HttpRoute,
    Intent,
    Mount,
    Owner,
    Publish,
    Readiness,
    Replicated,
    Resources,
    Service,
    ServiceMove,
    ServicePort,
    TcpProbe,
    TcpRoute,
    TmpfsSource,
    Volume,
    VolumeMove,
    VolumeSource,
)
from tests.unit.manifest.examples import DATABASE, service


def only_service(text: str) -> Service:
    (read,) = parse(text).services
    return read


def test_a_database_with_its_volume_and_its_move_is_read_whole() -> None:
    manifest = parse(DATABASE)
    (db,) = manifest.services
    assert manifest.volumes == (Volume("pgdata", 20 * 2**30, 0o700, Owner(999, 999)),)  # type: ignore[arg-type]
    assert db.placement == Replicated(1)
    assert db.service_ports == (ServicePort("pg", 5432),)  # type: ignore[arg-type]
    assert db.publish == (Publish("pg", 5432),)  # type: ignore[arg-type]
    assert db.routes == (TcpRoute("pg", 5432),)  # type: ignore[arg-type]
    assert db.readiness == Readiness(TcpProbe("pg"), 1.0, 2.0, 30, 0.0)  # type: ignore[arg-type]
    assert db.template.image == "postgres:17"
    assert db.template.env == {"POSTGRES_DB": "app"}
    assert db.template.mounts == (Mount(VolumeSource("pgdata"), "/var/lib/postgresql/data"),)  # type: ignore[arg-type]
    assert db.template.volumes == ("pgdata",)
    assert db.template.stop_grace_period_s == 30.0
    assert manifest.intent == Intent(
        (VolumeMove("pgdata", "machine-a", "machine-b"),),  # type: ignore[arg-type]
        (ServiceMove("db", "machine-b"),),  # type: ignore[arg-type]
    )


def test_names_are_parsed_into_their_own_types() -> None:
    manifest = parse(DATABASE)
    names = [manifest.namespace, manifest.volumes[0].name, manifest.services[0].name, manifest.services[0].publish[0]]
    names[-1] = manifest.services[0].publish[0].service_port
    assert [type(name).__name__ for name in names] == ["Namespace", "VolumeName", "ServiceName", "PortName"]


def test_a_namespace_may_be_empty() -> None:
    assert parse('namespace = "production"') == Manifest(namespace=parse(DATABASE).namespace)


def test_json_of_the_same_shape_reads_the_same() -> None:
    toml = service("placement = 'global'", template="env = { A = 'ä' }")
    data = {
        "namespace": "production",
        "volumes": [{"name": "data"}],
        "services": [{"name": "web", "placement": "global", "template": {"image": "web:1", "env": {"A": "ä"}}}],
    }
    assert parse(json.dumps(data)) == parse(toml)
    assert parse(json.dumps(data).encode(), Format.JSON) == parse(toml.encode(), Format.TOML)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse("\ufeff" + DATABASE) == parse(DATABASE)
    assert parse(b"\xef\xbb\xbf" + DATABASE.encode()) == parse(DATABASE)


def test_a_service_is_one_replica_that_restarts_unless_told_otherwise() -> None:
    web = only_service(service())
    assert (web.placement, web.restart, web.readiness, web.on) == (Replicated(1), "unless-stopped", None, ())


def test_placement_is_replicated_or_global() -> None:
    assert only_service(service("placement = { replicated = { count = 3 } }")).placement == Replicated(3)
    assert only_service(service("placement = 'global'")).placement == Global()


def test_machines_that_may_run_a_service_are_listed() -> None:
    assert only_service(service("on = ['machine-b', 'machine-a']")).on == ("machine-b", "machine-a")


def test_mounts_are_volumes_binds_and_memory() -> None:
    text = """mounts = [
      { source = { volume = "data" }, target = "/data", readonly = true },
      { source = { bind = "/" }, target = "/host" },
      { source = "tmpfs", target = "/tmp" },
    ]"""
    assert only_service(service(template=text)).template.mounts == (
        Mount(VolumeSource("data"), "/data", readonly=True),  # type: ignore[arg-type]
        Mount(BindSource("/"), "/host"),
        Mount(TmpfsSource(), "/tmp"),
    )


@pytest.mark.parametrize(
    ("spelled", "probe"),
    [
        ("tcp = { service_port = 'http' }", TcpProbe("http")),  # type: ignore[arg-type]
        ("http = { service_port = 'http', path = '/up?full=1' }", HttpProbe("http", "/up?full=1")),  # type: ignore[arg-type]
        ("http = { service_port = 'http' }", HttpProbe("http", "/")),  # type: ignore[arg-type]
        ("exec = { command = ['pg_isready', '-q'] }", ExecProbe(("pg_isready", "-q"))),
    ],
)
def test_readiness_is_by_tcp_http_or_exec(spelled: str, probe: TcpProbe | HttpProbe | ExecProbe) -> None:
    ports = "service_ports = [{ name = 'http', container_port = 80 }]"
    web = only_service(service(ports, f"readiness = {{ {spelled}, interval = '250ms' }}"))
    assert web.readiness == Readiness(probe, interval_s=0.25)


def test_routes_are_http_and_tcp() -> None:
    text = """service_ports = [{ name = "http", container_port = 80 }]
    routes = [
      { http = { service_port = "http", hostnames = ["a.example.com", "b"], path_prefix = "/api/" } },
      { tcp = { service_port = "http", listen_port = 8080 } },
    ]"""
    assert only_service(service(text)).routes == (
        HttpRoute("http", ("a.example.com", "b"), "/api/"),  # type: ignore[arg-type]
        TcpRoute("http", 8080),  # type: ignore[arg-type]
    )


def test_everything_that_a_container_is_made_from_can_be_said() -> None:
    text = """
    command = ["serve", "--port=80", ""]
    entrypoint = ["/bin/tini", "--"]
    user = "www-data:33"
    labels = { "com.example.team" = "shop" }
    cap_add = ["NET_ADMIN"]
    cap_drop = ["ALL"]
    sysctls = { "net.core.somaxconn" = "1024" }
    resources = { cpu_millicores = 1500, memory_bytes = "512M" }
    pull_policy = "always"
    stop_signal = "SIGRTMIN+3"
    """
    template = only_service(service(template=text)).template
    assert template.command == ("serve", "--port=80", "")
    assert template.entrypoint == ("/bin/tini", "--")
    assert template.user == "www-data:33"
    assert template.labels == {"com.example.team": "shop"}
    assert (template.cap_add, template.cap_drop) == (("NET_ADMIN",), ("ALL",))
    assert template.sysctls == {"net.core.somaxconn": "1024"}
    assert template.resources == Resources(1500, 512 * 2**20)
    assert (template.pull_policy, template.stop_signal) == ("always", "SIGRTMIN+3")


def test_a_size_may_be_an_integer_of_bytes() -> None:
    manifest = parse("namespace = 'a'\nvolumes = [{ name = 'data', quota = 2097152 }]")
    assert manifest.volumes[0].quota_bytes == 2 * 2**20


def test_several_services_may_write_to_one_volume() -> None:
    text = service(template="mounts = [{ source = { volume = 'data' }, target = '/data' }]")
    second = text.split("[[services]]")[1].replace("'web'", "'worker'")
    assert len(parse(text + "\n[[services]]" + second).services) == 2


def test_replicas_may_share_a_volume_that_they_only_read() -> None:
    mount = "mounts = [{ source = { volume = 'data' }, target = '/data', readonly = true }]"
    assert only_service(service("placement = { replicated = { count = 3 } }", template=mount)).placement == Replicated(
        3
    )


def test_the_intent_can_be_left_behind() -> None:
    manifest = parse(DATABASE)
    assert without_intent(manifest).intent == Intent()
    assert without_intent(manifest).services == manifest.services
