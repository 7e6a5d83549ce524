"""Manifests that the tests start from, and what is told about a bad one."""

from __future__ import annotations

import pytest

from ployz.manifest import InvalidManifest, parse

DATABASE = """
namespace = "production"

[[volumes]]
name = "pgdata"
quota = "20G"
mode = "0700"
owner = "999:999"

[[services]]
name = "db"
placement = { replicated = { count = 1 } }
service_ports = [{ name = "pg", container_port = 5432 }]
publish = [{ service_port = "pg", host_port = 5432 }]
routes = [{ tcp = { service_port = "pg", listen_port = 5432 } }]
readiness = { tcp = { service_port = "pg" }, interval = "1s", timeout = "2s", retries = 30, start_period = "0s" }
restart = "unless-stopped"

[services.template]
image = "postgres:17"
command = []
env = { POSTGRES_DB = "app" }
mounts = [{ source = { volume = "pgdata" }, target = "/var/lib/postgresql/data" }]
stop_grace_period = "30s"

[intent]
volumes = [{ volume = "pgdata", move = { from_machine = "machine-a", to_machine = "machine-b" } }]
services = [{ service = "db", move = { to_machine = "machine-b" } }]
"""


def told(text: str | bytes) -> list[str]:
    """What is said about a text that must be refused: a line a mistake."""
    with pytest.raises(InvalidManifest) as refusal:
        parse(text)
    return [str(mistake) for mistake in refusal.value.mistakes]


def service(*lines: str, template: str = "") -> str:
    """A manifest with a volume `data`, and a service `web` with these lines."""
    head = ['namespace = "production"', "volumes = [{ name = 'data' }]", "[[services]]", "name = 'web'"]
    return "\n".join([*head, *lines, "[services.template]", "image = 'web:1'", template])
