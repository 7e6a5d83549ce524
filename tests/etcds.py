"""A real etcd for tests: members on loopback, with TLS and a password; killed, frozen and started again by pid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from ployz.facts.etcd.access import EtcdAccess
from ployz.facts.etcd.certificates import Pair, issue, make_authority

HOST = "127.0.0.1"
UP_S = 30.0
PASSWORD = "correct horse"  # noqa: S105 - of an etcd that lives as long as a test


def own_address(number: int) -> str:
    """On loopback, of this run of the tests alone: members of the cluster's own etcd always have the same ports."""
    return f"127.{1 + os.getpid() % 250}.{os.getpid() // 250 % 250}.{number}"


class Member:
    """One etcd process with its folder."""

    def __init__(self, name: str, folder: Path, client_port: int, peer_port: int) -> None:
        self.name = name
        self.folder = folder
        self.client_port = client_port
        self.peer_url = f"https://{HOST}:{peer_port}"
        self.endpoint = f"https://{HOST}:{client_port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: str, *, state: str = "new") -> None:
        pki = ["--trusted-ca-file", str(self.folder / "ca.pem"), "--cert-file", str(self.folder / "cert.pem")]
        peer = [each.replace("--", "--peer-", 1) if each.startswith("--") else each for each in pki]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("etcd", "--name", self.name, "--data-dir", str(self.folder / "data"), "--bcrypt-cost", "4"),
                    *("--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint),
                    *("--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url),
                    *("--initial-cluster", cluster, "--initial-cluster-state", state),
                    *("--initial-cluster-token", self.folder.parent.name, "--max-txn-ops", "8192"),
                    *(*pki, "--key-file", str(self.folder / "key.pem")),
                    *(
                        *peer,
                        "--peer-key-file",
                        str(self.folder / "key.pem"),
                        "--peer-client-cert-auth",
                        "--client-cert-auth",
                    ),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def lose_disk(self) -> None:
        shutil.rmtree(self.folder / "data")


class Etcd:
    """Several members that are one etcd."""

    def __init__(self, members: list[Member], ca: Pair, client: Pair) -> None:
        self.members = members
        self.ca = ca
        self.client = client
        self.user = ""

    @property
    def cluster(self) -> str:
        return ",".join(f"{each.name}={each.peer_url}" for each in self.members)

    def access(self, prefix: str = "ployz/", *, first: int = 0) -> EtcdAccess:
        endpoints = [each.endpoint for each in self.members]
        return EtcdAccess(
            (*endpoints[first:], *endpoints[:first]),
            prefix,
            self.user,
            PASSWORD if self.user else "",
            self.ca.certificate_pem,
            self.client.certificate_pem,
            self.client.key_pem,
        )

    def post(self, path: str, body: Mapping[str, Any], *, member: int = 0, token: str = "") -> dict[str, Any]:
        """Beside the adapter that is tested."""
        request = urllib.request.Request(  # noqa: S310 - an https URL of our own
            f"{self.members[member].endpoint}{path}",
            json.dumps(body).encode(),
            {"Authorization": token} if token else {},
        )
        with urllib.request.urlopen(request, timeout=10, context=self.access().tls()) as answer:  # noqa: S310 - the same
            found: dict[str, Any] = json.loads(answer.read().split(b"\n")[0])
            return found

    def token(self, member: int) -> str:
        asked = self.post("/v3/auth/authenticate", {"name": "root", "password": PASSWORD}, member=member)
        return str(asked["token"])

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + UP_S
        for index, _ in enumerate(self.members):
            while True:
                try:
                    self.post("/v3/maintenance/status", {}, member=index)
                    self.post("/v3/lease/timetolive", {"ID": "1"}, member=index)
                    break
                except urllib.error.HTTPError as error:
                    if error.code == 401 or b"user name" in error.read():  # it answers: it wants to know who asks
                        break
                except OSError:
                    pass
                assert time.monotonic() < deadline, (self.members[index].folder / "log").read_text()[-2000:]
                time.sleep(0.1)

    def leader(self) -> int:
        """Its index."""
        while True:
            for index, _ in enumerate(self.members):
                try:
                    status = self.post("/v3/maintenance/status", {}, member=index)
                except OSError:
                    continue
                if status.get("leader") == status["header"]["member_id"]:
                    return index
            time.sleep(0.1)

    def enable_authentication(self) -> None:
        self.post("/v3/auth/user/add", {"name": "root", "password": PASSWORD})
        self.post("/v3/auth/role/add", {"name": "root"})
        self.post("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.post("/v3/auth/user/add", {"name": "ployz", "password": PASSWORD})
        self.post("/v3/auth/role/add", {"name": "ployz"})
        everything = {"permType": "READWRITE", "key": "AA==", "range_end": "AA=="}
        self.post("/v3/auth/role/grant", {"name": "ployz", "perm": everything})
        self.post("/v3/auth/user/grant", {"user": "ployz", "role": "ployz"})
        self.post("/v3/auth/enable", {})
        self.user = "ployz"


@contextmanager
def etcd(folder: Path, members: int = 1, *, authentication: bool = True) -> Iterator[Etcd]:
    made = Etcd(*_make(folder, members))
    try:
        for each in made.members:
            each.start(made.cluster)
        made.wait_until_up()
        if authentication:
            made.enable_authentication()
        yield made
    finally:
        for each in made.members:
            each.kill()


def _make(folder: Path, members: int) -> tuple[list[Member], Pair, Pair]:
    ports = _free_ports(2 * members)
    ca = anyio.run(make_authority, "a test")
    made = []
    for index in range(members):
        own = folder / f"m{index}"
        own.mkdir()
        pair = anyio.run(issue, ca, own.name, [HOST])
        for name, text in (("ca", ca.certificate_pem), ("cert", pair.certificate_pem), ("key", pair.key_pem)):
            (own / f"{name}.pem").write_text(text)
        (own / "key.pem").chmod(0o600)
        made.append(Member(own.name, own, ports[2 * index], ports[2 * index + 1]))
    return made, ca, anyio.run(issue, ca, "client", [])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind((HOST, 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
