"""Namespaces to deploy, small ones, as the JSON form of a manifest, and the counter that most of them are about."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.cluster import Cluster

Json = dict[str, Any]

HTTP = {"name": "http", "container_port": 8080}
QUICK = {"interval": "200ms", "retries": 100}


def web(name: str = "web", volume: str | None = "data", **template: Any) -> Json:
    """Counts its requests in /data, and says which machine it is on."""
    mounts = [{"source": {"volume": volume}, "target": "/data"}] if volume else []
    return {
        "name": name,
        "service_ports": [HTTP],
        "readiness": {"http": {"service_port": "http", "path": "/healthz"}, **QUICK},
        "template": {"image": "web:latest", "mounts": mounts, **template},
    }


def sleeper(name: str = "sleeper", **template: Any) -> Json:
    """Does nothing until it is told to stop."""
    return {
        "name": name,
        "template": {
            "image": "web:latest",
            "entrypoint": ["/bin/sh", "-c"],
            "command": ["trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"],
            "stop_grace_period": "2s",
            **template,
        },
    }


def postgres() -> Json:
    return {
        "name": "db",
        "service_ports": [{"name": "pg", "container_port": 5432}],
        "readiness": {"exec": {"command": ["pg_isready", "-U", "postgres", "-h", "127.0.0.1"]}, **QUICK},
        "template": {
            "image": "postgres:15",
            "env": {"POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_DB": "app"},
            "mounts": [{"source": {"volume": "pgdata"}, "target": "/var/lib/postgresql/data"}],
        },
    }


def namespace(name: str, *services: Json, volumes: tuple[str | Json, ...] = ()) -> Json:
    declared = [{"name": each} if isinstance(each, str) else each for each in volumes]
    return {"namespace": name, "volumes": declared, "services": list(services)}


def counter(name: str, **quota: str) -> Json:
    """One web service with its counter on a volume."""
    return namespace(name, web(), volumes=({"name": "data", **quota},))


def namespace_of(service: str) -> str:
    return service.partition("/")[0]


ANSWERS_S = 30
"""A container that has just been started runs before its service answers."""
_COUNT = """
until wget -qO- http://127.0.0.1:8080/healthz >/dev/null 2>&1; do sleep 0.1; done
wget -qO- http://127.0.0.1:8080/
"""


def count(cluster: Cluster, service: str) -> int:
    """One more, asked in its own container: its data is there, and can be written."""
    machine = cluster.slot(service)["machine"]
    answer = json.loads(cluster.in_container(machine, service, "timeout", str(ANSWERS_S), "sh", "-c", _COUNT))
    assert answer["machine"] == machine
    return int(answer["count"])


def fill(cluster: Cluster, service: str, mebibytes: int, name: str = "bulk") -> None:
    """Data that takes its time on the way."""
    machine = cluster.slot(service)["machine"]
    write = f"dd if=/dev/urandom of=/data/{name} bs=1M count={mebibytes} conv=fsync 2>/dev/null"
    cluster.in_container(machine, service, "sh", "-c", write)
    # What was synced is in the intent log. This waits for the transaction group, from where on its size is counted.
    cluster.inside(machine, "zfs", "set", f"e2e:filled={mebibytes}", "tank")
