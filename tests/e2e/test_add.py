"""Machines made members over ssh: a real sshd in the machine, a real ssh on the one that adds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen

from tests.e2e.cluster import Answer, Cluster, eventually
from tests.labs import REPOSITORY
from tests.real import need

pytestmark = pytest.mark.lab

A, C = "machine-a", "machine-c"
KEYS = "/run/lab/ssh"
PORT = 2222

SERVER = f"""
mkdir -p -m 0755 /run/sshd {KEYS}
ssh-keygen -q -t ed25519 -N '' -f {KEYS}/host <<<y >/dev/null
cat >{KEYS}/authorized
printf '%s\\n' 'HostKey {KEYS}/host' 'Port {PORT}' 'PidFile {KEYS}/pid' 'AuthorizedKeysFile {KEYS}/authorized' \
    'PermitRootLogin prohibit-password' 'StrictModes no' 'UsePAM no' 'PasswordAuthentication no' >{KEYS}/config
/usr/sbin/sshd -f {KEYS}/config -E {KEYS}/log
cat {KEYS}/host.pub
"""


@frozen
class Ssh:
    """The way from machine-a to machine-c."""

    cluster: Cluster
    address: str
    endpoint: str

    def add(self, *targets: str, config: str = f"{KEYS}/client") -> Answer:
        program = str(REPOSITORY / "bin/ployzctl")
        return self.cluster.ctl("machine", "add", *targets, "--ssh-config", config, "--program", program, on=A)


@pytest.fixture
def ssh(cluster: Cluster) -> Iterator[Ssh]:
    need("sshd", "ssh", "ssh-keygen")
    endpoint = row(cluster, C)["endpoint"]
    address = endpoint.rpartition(":")[0]
    cluster.inside(A, "mkdir", "-p", KEYS)
    public = cluster.inside(A, "sh", "-c", f"ssh-keygen -q -t ed25519 -N '' -f {KEYS}/key && cat {KEYS}/key.pub")
    host = cluster.run("exec", C, "--", "bash", "-c", SERVER, stdin=public)
    client = f"Host *\nPort {PORT}\nIdentityFile {KEYS}/key\nIdentitiesOnly yes\nUserKnownHostsFile {KEYS}/known\n"
    for name, text in (("known", f"[{address}]:{PORT} {host}"), ("client", client)):
        cluster.run("exec", A, "--", "tee", f"{KEYS}/{name}", stdin=text)
    yield Ssh(cluster, address, endpoint)
    cluster.inside(C, "sh", "-c", f"kill $(cat {KEYS}/pid); rm -rf {KEYS}")
    cluster.inside(A, "rm", "-rf", KEYS)


def row(cluster: Cluster, machine: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("machine", "show", machine)["row"]
    return found


def open_invitations(cluster: Cluster) -> list[str]:
    return [each["invite"] for each in cluster.get("machine", "invites")["invites"] if each["state"] == "open"]


def test_a_machine_is_added_over_ssh_and_what_fails_beside_it_changes_nothing(cluster: Cluster, ssh: Ssh) -> None:
    before = open_invitations(cluster)
    cluster.get("machine", "rm", C)
    eventually(lambda: cluster.ctl("machine", "ls", on=C).payload, lambda found: bool(found["removed"]))

    # Nobody knows the key of that host: ssh must not ask, and nothing is sent.
    cluster.run("exec", A, "--", "sh", "-c", f"grep -v Known {KEYS}/client >{KEYS}/stranger")
    stranger = ssh.add(f"root@{ssh.address}", config=f"{KEYS}/stranger")
    assert (stranger.exit_code, stranger.code) == (1, "ssh-failed")
    assert "Host key verification failed" in stranger.message
    taken = ssh.add(f"machine-b=root@{ssh.address}")
    assert (taken.exit_code, taken.code) == (1, "machine-exists")
    assert open_invitations(cluster) == before

    mixed = ssh.add(f"root@{ssh.address}", f"nobody@{ssh.address}")
    assert (mixed.exit_code, mixed.code) == (3, "ssh-failed"), mixed
    added, failed = mixed.payload["machines"]
    assert (added["machine"], added["joined"], added["answers"]) == (C, True, True)
    assert (failed["joined"], failed["problem"]["code"]) == (False, "ssh-failed")
    assert (row(cluster, C)["endpoint"], row(cluster, C)["lifecycle"]) == (ssh.endpoint, "active")

    again = ssh.add(f"root@{ssh.address}")
    assert (again.exit_code, again.payload["machines"][0]["answers"]) == (0, True)
    assert open_invitations(cluster) == before
    assert "ployz1-" not in json.dumps(mixed.lines) + mixed.stderr
