"""Manifests that the simulated clusters are given, and the names in them."""

from __future__ import annotations

from ployz.ids import MachineId, Namespace, ServiceRef, VolumeRef

A, B, C = MachineId("machine-a"), MachineId("machine-b"), MachineId("machine-c")
PRODUCTION = Namespace("production")
DB, WEB = ServiceRef.parse("production/db"), ServiceRef.parse("production/web")
PGDATA, WAL = VolumeRef.parse("production/pgdata"), VolumeRef.parse("production/wal")

_HEAD = 'namespace = "production"\n'


def volume(name: str = "pgdata", *, quota: str = "") -> str:
    return f'[[volumes]]\nname = "{name}"\n' + (f'quota = "{quota}"\n' if quota else "")


def service(
    name: str = "db",
    *,
    volumes: tuple[str, ...] = (),
    on: str = "",
    placement: str = "{ replicated = { count = 1 } }",
    image: str = "postgres:17",
    command: str = "",
    restart: str = "unless-stopped",
    extra: str = "",
) -> str:
    mounts = ", ".join(f'{{ source = {{ volume = "{each}" }}, target = "/{each}" }}' for each in volumes)
    lines = [
        "[[services]]",
        f'name = "{name}"',
        f"placement = {placement}",
        f'on = ["{on}"]' if on else "",
        'service_ports = [{ name = "main", container_port = 5432 }]',
        'readiness = { tcp = { service_port = "main" }, interval = "1s", timeout = "2s", retries = 5 }',
        f'restart = "{restart}"',
        extra,
        "[services.template]",
        f'image = "{image}"',
        f'command = ["{command}"]' if command else "",
        f"mounts = [{mounts}]" if mounts else "",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def manifest(*parts: str) -> str:
    return _HEAD + "\n".join(sorted(parts, key=lambda part: not part.startswith("[[volumes]]")))


DATABASE = manifest(volume(), service(volumes=("pgdata",)))
"""One service with one volume."""
