"""A lab's fact log on etcd: a member on each of the first three machines, with TLS and a password, and the move there.

The members listen on the underlay. Every file of theirs lies in the machine's folder: a power cut leaves it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from ployz.errors import Code, Failed
from ployz.facts.etcd.access import MODE, EtcdAccess
from ployz.facts.etcd.certificates import Pair, issue, make_authority
from ployz.lab.daemon import Daemon
from ployz.lab.machine import PROGRAMS, Machine
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import failed, wait_until
from ployz.lab.state import LabState

MEMBERS: Final = 3
UP_S: Final = 60
CLIENT_PORT, PEER_PORT = 2379, 2380
USER: Final = "ployz"


@frozen
class Member:
    """One machine's etcd: its folder, and the program."""

    machine: Machine

    @property
    def folder(self) -> Path:
        return self.machine.folder / "etcd"

    @property
    def _arguments(self) -> Path:
        return self.folder / "arguments.json"

    def exists(self) -> bool:
        return self._arguments.exists()

    def prepare(self, pair: Pair, ca: Pair, address: str, cluster: str) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for name, text in (("ca", ca.certificate_pem), ("cert", pair.certificate_pem), ("key", pair.key_pem)):
            path = self.folder / f"{name}.pem"
            path.touch(mode=MODE)
            path.write_text(text)
        tls = {"trusted-ca-file": "ca.pem", "cert-file": "cert.pem", "key-file": "key.pem"}
        urls = f"https://{address}:{CLIENT_PORT}", f"https://{address}:{PEER_PORT}"
        options = {
            "name": self.machine.name,
            "data-dir": str(self.folder / "data"),
            "listen-client-urls": urls[0],
            "advertise-client-urls": urls[0],
            "listen-peer-urls": urls[1],
            "initial-advertise-peer-urls": urls[1],
            "initial-cluster": cluster,
            "initial-cluster-state": "new",
            "max-txn-ops": "8192",
            "max-request-bytes": str(16 << 20),
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "1h",
            **{option: str(self.folder / name) for option, name in tls.items()},
            **{f"peer-{option}": str(self.folder / name) for option, name in tls.items()},
        }
        argv = ["etcd", "--client-cert-auth", "--peer-client-cert-auth"]
        argv += [word for name, value in options.items() for word in (f"--{name}", value)]
        self._arguments.write_text(json.dumps(argv))

    def daemon(self, running: Namespaces) -> Daemon:
        return Daemon(running, "etcd", json.loads(self._arguments.read_text()), self.machine.folder / "logs/etcd.log")

    def control(self, running: Namespaces, address: str, *words: str) -> str:
        tls = ("--cacert", "ca.pem", "--cert", "cert.pem", "--key", "key.pem")
        files = [str(self.folder / each) if each.endswith(".pem") else each for each in tls]
        endpoint = f"--endpoints=https://{address}:{CLIENT_PORT}"
        return running.run(["env", "ETCDCTL_API=3", "etcdctl", endpoint, *files, *words])


def start_member(machine: Machine) -> None:
    """Where this machine has one; returns at once."""
    member, running = Member(machine), machine.find()
    if running is not None and member.exists():
        member.daemon(running).start()


def bring_up(machines: Sequence[Machine], known: LabState, say: Callable[[str], None]) -> None:
    """Moves the cluster's facts to etcd. Begun already is gone on with."""
    members = [Member(each) for each in machines[:MEMBERS]]
    access_file = machines[0].folder / "etcd" / "access.json"
    if not access_file.exists():
        _make(members, known, access_file)
    for each in members:
        start_member(each.machine)
    founder = members[0]
    running, address = _running(founder.machine), known.address(founder.machine.name)

    def agrees() -> bool:
        founder.daemon(running).require_alive()
        try:
            founder.control(running, address, "endpoint", "health")
        except Failed as error:
            return "auth" in error.problem.text or "user name is empty" in error.problem.text
        return True

    wait_until("etcd", agrees, deadline_s=UP_S)
    access = EtcdAccess.load(access_file)
    assert access is not None  # noqa: S101 - it was written above
    _let_in(founder, running, address, access)
    command = [str(PROGRAMS / "ployzctl"), "cluster", "promote", "--etcd", str(access_file), "--yes"]

    def moved() -> bool:
        """Not while an operation that has just ended still holds something."""
        try:
            running.run(command, deadline_s=UP_S)
        except Failed as error:
            if f"[{Code.LOCK_HELD}]" not in error.problem.text:
                raise
            return False
        return True

    wait_until("nothing is going on", moved, deadline_s=UP_S)
    say(f"the facts are in etcd, on {len(members)} machines")


def _make(members: Sequence[Member], known: LabState, access_file: Path) -> None:
    ca = anyio.run(make_authority, "a lab's etcd")
    addresses = {each.machine.name: known.address(each.machine.name) for each in members}
    cluster = ",".join(f"{name}=https://{address}:{PEER_PORT}" for name, address in addresses.items())
    for each in members:
        address = addresses[each.machine.name]
        each.prepare(anyio.run(issue, ca, each.machine.name, [address]), ca, address, cluster)
    client = anyio.run(issue, ca, "machines", [])
    access = EtcdAccess(
        tuple(f"https://{address}:{CLIENT_PORT}" for address in addresses.values()),
        user=USER,
        password=secrets.token_urlsafe(24),
        ca_pem=ca.certificate_pem,
        certificate_pem=client.certificate_pem,
        key_pem=client.key_pem,
    )
    access_file.touch(mode=MODE)
    access_file.write_text(access.text())


def _let_in(member: Member, running: Namespaces, address: str, access: EtcdAccess) -> None:
    """Only ployz, below its prefix, and root; from here on nobody else. Let in already is done."""
    try:
        member.control(running, address, "user", "list")
    except Failed:
        return  # it wants to know who asks: that is how it ends
    password = access.password
    for words in (
        ("user", "add", f"root:{password}"),
        ("user", "grant-role", "root", "root"),
        ("user", "add", f"{access.user}:{password}"),
        ("role", "add", access.user),
        ("role", "grant-permission", "--prefix=true", access.user, "readwrite", access.prefix),
        ("user", "grant-role", access.user, access.user),
        ("auth", "enable"),
    ):
        try:
            member.control(running, address, *words)
        except Failed as error:
            if "already" not in error.problem.text:
                raise


def _running(machine: Machine) -> Namespaces:
    running = machine.find()
    if running is None:
        raise failed(f"{machine.name} lost its power")
    return running
