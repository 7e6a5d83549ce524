"""What can be wrong with a service, at its exact path."""

from __future__ import annotations

import pytest

from tests.unit.manifest.examples import service, told

SERVICE_MISTAKES = [
    ("placement = { replicated = { count = 0 } }", "placement.replicated.count: is 1 to 100, not 0"),
    ("placement = { replicated = { count = 101 } }", "placement.replicated.count: is 1 to 100, not 101"),
    ("placement = 'globl'", "placement: is \"global\" or { replicated = … }, not 'globl'; did you mean 'global'?"),
    ("placement = 1", 'placement: is "global" or { replicated = … }, not an integer'),
    ("placement = {}", "placement: has exactly one of replicated, not none"),
    ("placement = { replicated = { cuont = 1 } }", "placement.replicated.cuont: is no key here; did you mean 'count'?"),
    (
        "on = ['machine a']",
        "on[0]: 'machine a' is no machine name: use a-z, 0-9 and '-', with a letter or a digit at both ends",
    ),
    ("on = 'machine-a'", "on: is a list, not text"),
    (
        "restart = 'alway'",
        'restart: is one of "no", "on-failure", "always", "unless-stopped", not \'alway\'; did you mean \'always\'?',
    ),
    ("restart = false", "restart: is text, not true or false; write it in quotes"),
    (
        "publish = [{ service_port = 'http', host_port = 1, host_ip = 'eth0' }]",
        "publish[0].host_ip: 'eth0' is no IP address, such as \"127.0.0.1\"",
    ),
    (
        "publish = [{ service_port = 'http', host_port = 1, host_ip = '0.0.0.0' }]",
        "publish[0].host_ip: '0.0.0.0' is no address of a machine: leave it out for all of them",
    ),
    ("routes = [{}]", "routes[0]: has exactly one of http, tcp, not none"),
    ("routes = [{ http = { service_port = 'http', hostnames = [] } }]", "routes[0].http.hostnames: is not empty"),
    (
        "routes = [{ http = { service_port = 'http', hostnames = ['A.b'] } }]",
        'routes[0].http.hostnames[0]: \'A.b\' is not a host name in lower case, such as "www.example.com", or "*"',
    ),
    (
        "routes = [{ http = { service_port = 'http', hostnames = ['a'], path_prefix = 'api' } }]",
        "routes[0].http.path_prefix: 'api' is not the beginning of a URL path, such as \"/api/\"",
    ),
    ("readiness = { interval = '1s' }", "readiness: has exactly one of tcp, http, exec, not none"),
    (
        "readiness = { tcp = { service_port = 'http' }, exec = { command = ['a'] } }",
        "readiness: has exactly one of tcp, http, exec, not tcp and exec",
    ),
    ("readiness = { exec = { command = [] } }", "readiness.exec.command: is not empty"),
    ("readiness = { exec = { command = 'true' } }", "readiness.exec.command: is a list, not text"),
    (
        'readiness = { http = { service_port = "http", path = "/a\\r\\nHost: b" } }',
        "readiness.http.path: has a control character or a line break",
    ),
    (
        "readiness = { tcp = { service_port = 'http' }, interval = 1 }",
        'readiness.interval: is a duration such as "500ms" or "10s", not an integer',
    ),
    (
        "readiness = { tcp = { service_port = 'http' }, interval = '0s' }",
        "readiness.interval: is 10ms to 24h, not '0s'",
    ),
    ("readiness = { tcp = { service_port = 'http' }, retries = 0 }", "readiness.retries: is 1 to 10000, not 0"),
    (
        "hooks = { before_snapshots = { command = ['a'] } }",
        "hooks.before_snapshots: is no key here; did you mean 'before_snapshot'?",
    ),
]


@pytest.mark.parametrize(("line", "text"), SERVICE_MISTAKES)
def test_what_is_wrong_with_a_service(line: str, text: str) -> None:
    ports = "service_ports = [{ name = 'http', container_port = 80 }]"
    assert told(service(ports, line)) == [f"services[0].{text}"]
