"""One lab of three machines for the whole run, and a namespace of its own for each test, of which nothing is left."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ployz.lab.machine import programs_preloaded
from ployz.lab.state import ROOT
from tests.e2e.cluster import MACHINES, Cluster, no_trace_on
from tests.e2e.manifests import count, counter, web
from tests.real import need

LAB = re.compile(r"test-e2e-(?:etcd-)?([0-9]+)\Z")


@pytest.fixture(scope="session", autouse=True)
def _programs() -> Iterator[None]:
    with programs_preloaded():
        yield


@pytest.fixture(scope="session")
def _lab() -> Iterator[Cluster]:
    """Its name says whose it is: what a killed run left is cleaned up by the next."""
    need("zfs-fuse", "dockerd", "nft", "ip", "nsenter", "wg", "perl", "busybox", "psql")
    for found in filter(None, (LAB.match(path.name) for path in ROOT.glob("*"))):
        if not Path(f"/proc/{found[1]}").exists():
            Cluster(found[0]).run("down")
    made = Cluster(f"test-e2e-{os.getpid()}")
    try:
        made.run("up", "--machines", "3", "--facts", os.environ.get("PLOYZ_FACTS", "embedded"))
        made.run("image", "web", "postgres")
        yield made
    finally:
        made.run("down")
        assert made.remains() == []


@pytest.fixture
def cluster(_lab: Cluster) -> Iterator[Cluster]:
    """Given back as it was: every machine up, every link whole, every daemon running."""
    yield _lab
    put_right(_lab)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"t-{secrets.token_hex(3)}"
    yield name
    put_right(cluster)
    remove(cluster, name)
    with ThreadPoolExecutor() as threads:
        assert all(threads.map(lambda machine: no_trace_on(cluster, machine, name), MACHINES))


@pytest.fixture
def service(cluster: Cluster, namespace: str) -> str:
    """A counter on machine-b, which may move. It has counted to one."""
    cluster.deploy(counter(namespace) | {"services": [web() | {"on": ["machine-b"]}]})
    cluster.deploy(counter(namespace))
    assert count(cluster, f"{namespace}/web") == 1
    return f"{namespace}/web"


def put_right(lab: Cluster) -> None:
    status = lab.status()
    if status["cuts"]:
        lab.run("heal")
    for machine in status["machines"]:
        if machine["limit"]:
            lab.run("limit", machine["machine"], "none")
    if not all(machine["power"] and machine["ployzd"] for machine in status["machines"]):
        lab.run("up", "--machines", str(len(MACHINES)))


def remove(cluster: Cluster, namespace: str) -> None:
    """As an operator does it: a manifest without anything, then the volumes, which no deploy destroys."""
    cluster.deploy({"namespace": namespace}, "--remove")
    for row in cluster.get("volume", "ls")["volumes"]:
        if row["volume"].startswith(f"{namespace}/"):
            cluster.get("volume", "rm", row["volume"], "--yes")
