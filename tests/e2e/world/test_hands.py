"""What an operator's own hands and files do to a machine: a name that was changed, a file of another namespace."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.manifests import count, namespace_of
from tests.labs import REPOSITORY

pytestmark = pytest.mark.lab

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
