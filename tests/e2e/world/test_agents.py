"""Agents that look at the whole machine: monitoring and backup bind the host's folders, with the volumes in them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.conftest import remove
from tests.e2e.manifests import Json, count, namespace_of, sleeper
from tests.e2e.manifests import namespace as ns

pytestmark = pytest.mark.lab


@pytest.fixture
def agents(cluster: Cluster, namespace: str) -> Iterator[str]:
    """Another namespace than the service's."""
    yield f"{namespace}-agents"
    remove(cluster, f"{namespace}-agents")


def agent(name: str, source: str, command: str = "") -> Json:
    mounts = [{"source": {"bind": source}, "target": "/host", "readonly": True}]
    made = sleeper(name, mounts=mounts) | {"on": ["machine-b"]}
    if command:
        made["template"]["command"] = [command]
    return made


def test_who_binds_the_machine_s_folders_keeps_no_volume_from_moving(
    cluster: Cluster, service: str, agents: str
) -> None:
    """What is bound comes and goes in the container as on the machine."""
    counted = count(cluster, service)
    cluster.deploy(ns(agents, agent("exporter", "/"), agent("backup", "/var/lib/ployz")))
    below = {"exporter": "/host/var/lib/ployz", "backup": "/host"}
    running = {name: cluster.container("machine-b", f"{agents}/{name}") for name in below}

    def seen() -> list[str]:
        """By which of them the volume's own file is seen."""
        its = f"volumes/{namespace_of(service)}/data"
        looks = {name: ("docker", "exec", running[name], "ls", f"{folder}/{its}") for name, folder in below.items()}
        return [name for name, look in looks.items() if cluster.try_("exec", "machine-b", "--", *look).stdout.strip()]

    assert seen() == ["exporter", "backup"]
    cluster.migrate(service, "machine-c")
    assert seen() == []
    assert count(cluster, service) == counted + 1
    cluster.migrate(service, "machine-b")
    assert seen() == ["exporter", "backup"]
    assert {name: cluster.container("machine-b", f"{agents}/{name}") for name in below} == running


def test_an_agent_that_has_a_file_of_a_volume_open_is_named_as_what_it_is(
    cluster: Cluster, service: str, agents: str
) -> None:
    count(cluster, service)
    its = f"/host/volumes/{namespace_of(service)}/data"
    holds = f"cd {its} && exec sleep 1000"
    cluster.deploy(ns(agents, agent("backup", "/var/lib/ployz", holds)))
    refused = eventually(
        lambda: cluster.ctl("migrate", "preview", service, "--to", "machine-c"), lambda it: it.exit_code == 1
    )
    assert refused.code == "dataset-busy"
    assert f"(sleep) of {agents}/backup/slot-1, which " in refused.message
    assert f"Let {agents}/backup bind less of the host, or deploy without it meanwhile." in str(refused.lines)
