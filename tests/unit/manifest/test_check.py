"""What must agree between the parts of a manifest."""

from __future__ import annotations

import pytest
from attrs import evolve

from ployz.manifest import Mistake, check, parse
from ployz.manifest.model import Hook
from tests.unit.manifest.examples import DATABASE, service, told

HTTP = "service_ports = [{ name = 'http', container_port = 80 }]"
DNS = "service_ports = [{ name = 'dns', container_port = 53, protocol = 'udp' }]"


def two_services(first: str, second: str) -> str:
    image = "template = { image = 'web:1' }"
    return "\n".join([
        "namespace = 'production'",
        *("[[services]]", "name = 'one'", first, image),
        *("[[services]]", "name = 'two'", second, image),
    ])  # fmt: skip


def test_a_mount_of_an_undeclared_volume_is_told_at_its_source() -> None:
    lines = told(
        DATABASE.replace('"/var/lib/postgresql/data" }', '"/a" }, { source = { volume = "dta" }, target = "/b" }')
    )
    assert lines[0] == "services[0].template.mounts[1].source: volume 'dta' is not declared; did you mean 'pgdata'?"


def test_two_volumes_have_two_names() -> None:
    text = "namespace = 'a'\nvolumes = [{ name = 'data' }, { name = 'logs' }, { name = 'data' }]"
    assert told(text) == ["volumes[2].name: 'data' is at volumes[0].name already"]


def test_two_services_have_two_names() -> None:
    assert told(two_services("", "").replace("'two'", "'one'")) == [
        "services[1].name: 'one' is at services[0].name already"
    ]


def test_two_ports_of_a_service_have_two_names() -> None:
    ports = "service_ports = [{ name = 'http', container_port = 80 }, { name = 'http', container_port = 81 }]"
    assert told(service(ports)) == [
        "services[0].service_ports[1].name: 'http' is at services[0].service_ports[0].name already"
    ]


def test_hooks_are_for_services_with_volumes() -> None:
    line = "hooks = { before_snapshot = { command = ['true'] } }"
    assert told(service(line)) == ["services[0].hooks: the service mounts no volume: nothing of it is ever snapshotted"]
    (database,) = parse(DATABASE.replace('name = "db"', f'name = "db"\n{line}')).services
    assert database.hooks.before_snapshot == Hook(("true",), timeout_s=10.0)


@pytest.mark.parametrize(
    ("hook", "text"),
    [
        ("{ command = [] }", "command: is not empty"),
        ("{ command = ['true'], timeout = '0s' }", "timeout: is 10ms to 24h, not '0s'"),
        ("{}", "command: is missing"),
    ],
)
def test_what_is_wrong_with_a_hook(hook: str, text: str) -> None:
    line = f"hooks = {{ after_snapshot = {hook} }}"
    path = "services[0].hooks.after_snapshot"
    assert told(DATABASE.replace('name = "db"', f'name = "db"\n{line}')) == [f"{path}.{text}"]


def test_a_secret_is_declared_and_named_once_in_a_service() -> None:
    names = "secrets = [{ secret = 'key' }, { secret = 'kee', target = '/a' }, { secret = 'key', target = '/b' }]"
    declared = service(template=names).replace("[[services]]", "[[secrets]]\nname = 'key'\n[[services]]")
    assert told(declared) == [
        "services[0].template.secrets[2].secret: 'key' is at services[0].template.secrets[0].secret already",
        "services[0].template.secrets[1].secret: secret 'kee' is not declared; did you mean 'key'?",
    ]


def test_a_secret_is_not_where_something_else_is_mounted() -> None:
    names = "mounts = [{ source = 'tmpfs', target = '/run/secrets/key' }]\nsecrets = [{ secret = 'key' }]"
    declared = service(template=names).replace("[[services]]", "[[secrets]]\nname = 'key'\n[[services]]")
    assert told(declared) == [
        "services[0].template.secrets[0].target: /run/secrets/key is at services[0].template.mounts[0].target already"
    ]


def test_two_mounts_have_two_targets() -> None:
    mounts = "mounts = [{ source = 'tmpfs', target = '/a' }, { source = { bind = '/b' }, target = '/a' }]"
    assert told(service(template=mounts)) == [
        "services[0].template.mounts[1].target: /a is at services[0].template.mounts[0].target already"
    ]


def test_a_machine_is_listed_once() -> None:
    assert told(service("on = ['a', 'a']")) == ["services[0].on[1]: 'a' is at services[0].on[0] already"]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("publish = [{ service_port = 'htp', host_port = 80 }]", "publish[0].service_port"),
        ("routes = [{ tcp = { service_port = 'htp', listen_port = 80 } }]", "routes[0].tcp.service_port"),
        ("routes = [{ http = { service_port = 'htp', hostnames = ['a'] } }]", "routes[0].http.service_port"),
        ("readiness = { tcp = { service_port = 'htp' } }", "readiness.tcp.service_port"),
        ("readiness = { http = { service_port = 'htp' } }", "readiness.http.service_port"),
    ],
)
def test_a_port_is_declared_where_it_is_used(line: str, path: str) -> None:
    assert told(service(HTTP, line)) == [
        f"services[0].{path}: service port 'htp' is not declared; did you mean 'http'?"
    ]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("routes = [{ tcp = { service_port = 'dns', listen_port = 53 } }]", "routes[0].tcp.service_port"),
        ("routes = [{ http = { service_port = 'dns', hostnames = ['a'] } }]", "routes[0].http.service_port"),
        ("readiness = { tcp = { service_port = 'dns' } }", "readiness.tcp.service_port"),
    ],
)
def test_the_gateway_and_readiness_need_tcp(line: str, path: str) -> None:
    assert told(service(DNS, line)) == [f"services[0].{path}: service port 'dns' is udp, but this needs tcp"]


def test_a_host_port_is_published_once() -> None:
    publish = "publish = [{ service_port = 'http', host_port = 8080 }]"
    assert told(two_services(f"{HTTP}\n{publish}", f"{HTTP}\n{publish}")) == [
        "services[1].publish[0].host_port: 8080/tcp is at services[0].publish[0].host_port already"
    ]


@pytest.mark.parametrize(
    ("one", "other", "meet"), [("", "127.0.0.1", True), ("127.0.0.1", "", True), ("127.0.0.1", "127.0.0.2", False)]
)
def test_a_host_port_on_all_addresses_meets_one_on_any(one: str, other: str, meet: bool) -> None:
    def published(ip: str) -> str:
        there = f", host_ip = '{ip}'" if ip else ""
        return f"{HTTP}\npublish = [{{ service_port = 'http', host_port = 8080{there} }}]"

    text = two_services(published(one), published(other))
    if meet:
        assert told(text) == [
            "services[1].publish[0].host_port: 8080/tcp is at services[0].publish[0].host_port already"
        ]
    else:
        assert [each.publish[0].host_ip for each in parse(text).services] == [one, other]


def test_tcp_and_udp_are_different_host_ports() -> None:
    tcp = f"{HTTP}\npublish = [{{ service_port = 'http', host_port = 53 }}]"
    udp = f"{DNS}\npublish = [{{ service_port = 'dns', host_port = 53 }}]"
    assert len(parse(two_services(tcp, udp)).services) == 2


def test_the_gateway_listens_once_on_a_port() -> None:
    route = f"{HTTP}\nroutes = [{{ tcp = {{ service_port = 'http', listen_port = 8080 }} }}]"
    assert told(two_services(route, route)) == [
        "services[1].routes[0].tcp.listen_port: 8080 is at services[0].routes[0].tcp.listen_port already"
    ]


def test_a_host_and_path_lead_to_one_service() -> None:
    first = f"{HTTP}\nroutes = [{{ http = {{ service_port = 'http', hostnames = ['a', 'b'] }} }}]"
    other_path = first.replace("['a', 'b']", "['b'], path_prefix = '/api/'")
    assert len(parse(two_services(first, other_path)).services) == 2
    assert told(two_services(first, first.replace("'a', 'b'", "'c', 'b'"))) == [
        "services[1].routes[0].http.hostnames[1]: b/ is at services[0].routes[0].http.hostnames[1] already"
    ]


MOUNT = "mounts = [{ source = { volume = 'data' }, target = '/data' }]"


def test_several_replicas_do_not_write_to_one_volume() -> None:
    assert told(service("placement = { replicated = { count = 2 } }", template=MOUNT)) == [
        "services[0].template.mounts[0].source: 2 replicas would write to volume 'data': mount it readonly"
    ]


@pytest.mark.parametrize("mount", [MOUNT, MOUNT.replace(" }]", ", readonly = true }]")])
def test_a_global_service_has_no_volume_because_a_volume_is_on_one_machine(mount: str) -> None:
    assert told(service("placement = 'global'", template=mount)) == [
        "services[0].template.mounts[0].source: volume 'data' is on one machine, but the service is global"
    ]


def test_a_tmpfs_is_written_to() -> None:
    assert told(service(template="mounts = [{ source = 'tmpfs', target = '/tmp', readonly = true }]")) == [
        "services[0].template.mounts[0].readonly: a tmpfs begins empty: nothing could ever be read from it"
    ]


def test_names_that_could_not_be_read_are_not_told_twice() -> None:
    text = f"""
    namespace = "production"
    volumes = [{{ name = "A" }}, {{ name = "B" }}]
    [[services]]
    name = "A"
    {HTTP.replace("'http'", "'A'")}
    publish = [{{ service_port = "A", host_port = 0 }}, {{ service_port = "B", host_port = 0 }}]
    routes = [{{ tcp = {{ service_port = "A", listen_port = 0 }} }},
              {{ tcp = {{ service_port = "A", listen_port = 0 }} }},
              {{ http = {{ service_port = "A", hostnames = ["A", "A"] }} }}]
    [services.template]
    image = "web:1"
    mounts = [{{ source = {{ volume = "A" }}, target = "a" }}, {{ source = {{ volume = "A" }}, target = "b" }}]
    [intent]
    volumes = [{{ volume = "A", move = {{ from_machine = "A", to_machine = "A" }} }}]
    services = [{{ service = "A", move = {{ to_machine = "A" }} }}]
    """
    paths = [line.split(": ")[0] for line in told(text)]
    assert len(paths) == len(set(paths))
    assert not any("already" in line or "declared" in line for line in told(text))


def test_a_source_that_could_not_be_read_is_no_volume_of_a_global_service() -> None:
    (line,) = told(service("placement = 'global'", template="mounts = [{ source = 'data', target = '/data' }]"))
    assert line.startswith("services[0].template.mounts[0].source: is ")


def test_a_manifest_that_was_made_by_hand_is_checked_too() -> None:
    manifest = parse(DATABASE)
    assert check(manifest) == []
    assert check(evolve(manifest, volumes=manifest.volumes * 2)) == [
        Mistake("volumes[1].name", "'pgdata' is at volumes[0].name already")
    ]
