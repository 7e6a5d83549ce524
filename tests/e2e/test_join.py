"""A newcomer joins by an invitation: one machine, once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.lab

A, B = "machine-a", "machine-b"
ENDPOINT = "192.0.2.77:51820"


@pytest.fixture
def newcomer(cluster: Cluster) -> Iterator[str]:
    """The name of a machine that is none: it has keys and a configuration, in a folder of machine-b."""
    name = f"new-{secrets.token_hex(3)}"
    yield name
    cluster.inside(B, "rm", "-rf", f"/run/{name}")
    cluster.try_("exec", A, "--", "ployzctl", "machine", "rm", name, "--force", "--yes")
    assert name not in {each["machine"] for each in cluster.get("machine", "ls")["machines"]}


def join(cluster: Cluster, token: str, newcomer: str, name: str = "") -> str:
    """What is said at the end: that it joined, or the code of the refusal."""
    folder = f"/run/{newcomer}"
    places = ["--config", f"{folder}/config.toml", "--state-dir", f"{folder}/{name or 'own'}"]
    argv = ["ployzctl", "machine", "join", "-", "--machine", name or newcomer, "--endpoint", ENDPOINT, *places]
    done = cluster.try_("exec", B, "--", *argv, stdin=token)
    return "joined" if done.returncode == 0 else done.stderr.partition("[")[2].partition("]")[0]


def test_an_invitation_is_good_for_one_machine(cluster: Cluster, newcomer: str) -> None:
    token = cluster.run("exec", A, "--", "ployzctl", "machine", "invite").strip()
    assert join(cluster, token[:-1], newcomer) == "invite"
    assert join(cluster, token, newcomer, name=A) == "machine-exists"
    assert join(cluster, token, newcomer) == "joined"
    assert join(cluster, token, newcomer) == "joined"
    assert join(cluster, token, newcomer, name=f"{newcomer}-2") == "conflict"
    (row,) = [each for each in cluster.get("machine", "ls")["machines"] if each["machine"] == newcomer]
    assert (row["endpoint"], row["lifecycle"]) == (ENDPOINT, "active")


def test_a_revoked_invitation_is_good_for_none(cluster: Cluster, newcomer: str) -> None:
    token = cluster.run("exec", A, "--", "ployzctl", "machine", "invite", "--ttl", "10m").strip()
    (newest, *_) = cluster.get("machine", "invites")["invites"]
    listed = cluster.get("machine", "invites", "revoke", newest["invite"])["invites"]
    assert listed[0]["state"] == "revoked"
    assert join(cluster, token, newcomer) in {"invite", "machine-unreachable"}
