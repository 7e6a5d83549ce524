"""Who is not a machine of the cluster, or not the one that it says it is, gets no answer and disturbs nobody."""

from __future__ import annotations

import json
import re

import pytest

from ployz.host.ports import hardware_address
from ployz.host.wireguard.announce import frame as announcement
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.conftest import remove
from tests.e2e.manifests import count, counter, web

pytestmark = pytest.mark.lab

PEER_PORT = 7701

CLAIM = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
import anyio
from ployz.actors.messages.probing import ProbeMachine
from ployz.config import CONFIG_PATH, Config
from ployz.errors import PloyzError
from ployz.ids import MachineId
from ployz.install.identity import ensure_identity
from ployz.wire.client import PeerClient
from ployz.wire.session import Identity
from ployz.wire.tls import MachineTls

address, claimed, cluster, source, key = sys.argv[1:]
config = Config.load(CONFIG_PATH)
trusted = {MachineId("machine-a"): config.join.founder_certificate}

async def main(path):
    identity = Identity(MachineId(claimed), cluster)
    tls = MachineTls(path, lambda: trusted)
    async with PeerClient(lambda: identity, lambda machine: (address, 7701), tls, source=source) as peers:
        try:
            report = await peers.ask(MachineId("machine-a"), "machine", ProbeMachine((), ()), timeout_s=5)
            print("answered", report.machine)
        except PloyzError as error:
            print("refused", error.code)

with TemporaryDirectory() as folder:
    path = config.identity if key == "own" else Path(folder) / "identity.pem"
    if key != "own":
        ensure_identity(path, MachineId(claimed))
    anyio.run(main, path, backend="trio")
"""

KNOCK = """
use Socket;
socket(my $s, AF_INET, SOCK_STREAM, 0) or die;
connect($s, pack_sockaddr_in(shift @ARGV, inet_aton(shift @ARGV))) or do { print "no connection\\n"; exit };
syswrite($s, pack("H*", shift @ARGV));
my $answer = ""; alarm 20;
1 while sysread($s, $answer, 4096, length $answer);
print unpack("H*", $answer), "\\n";
"""


@pytest.mark.parametrize(
    ("claimed", "key", "told"),
    [
        ("machine-b", "own", "answered machine-a"),
        ("machine-c", "own", "refused identity"),
        ("machine-x", "own", "refused not-a-member"),
        ("machine-b", "new", "refused machine-unreachable"),
    ],
)
def test_a_machine_is_believed_only_with_its_own_key(cluster: Cluster, claimed: str, key: str, told: str) -> None:
    rows = {each["machine"]: each for each in cluster.get("machine", "ls")["machines"]}
    arguments = (rows["machine-a"]["ipv6"], claimed, cluster.name, rows["machine-b"]["ipv6"], key)
    assert cluster.python("machine-b", CLAIM, *arguments).strip() == told
    if told != "answered machine-a":
        dropped = [line for line in cluster.daemon_log("machine-a").splitlines() if "was dropped" in line]
        assert rows["machine-b"]["ipv6"] in dropped[-1]


def test_another_cluster_is_refused(cluster: Cluster) -> None:
    rows = {each["machine"]: each for each in cluster.get("machine", "ls")["machines"]}
    arguments = (rows["machine-a"]["ipv6"], "machine-b", "elsewhere", rows["machine-b"]["ipv6"], "own")
    assert cluster.python("machine-b", CLAIM, *arguments).strip() == "refused not-a-member"


def test_a_container_on_the_overlay_is_no_machine(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(counter(namespace))
    service = f"{namespace}/web"
    machine = cluster.slot(service)["machine"]
    rows = {each["machine"]: each for each in cluster.get("machine", "ls")["machines"]}
    hello = hello_of("machine-a", cluster.name)
    for row in rows.values():
        said = cluster.in_container(
            machine, service, "perl", "-e", KNOCK, str(PEER_PORT), row["ipv4"], hello.hex()
        ).strip()
        assert said == "no connection" or b"refusal" in bytes.fromhex(said) or said == ""
        assert b"hello" not in bytes.fromhex("" if said == "no connection" else said)


RIGHTS = """
socket(RAW, PF_INET, SOCK_RAW, 1) and print "raw ";
socket(PACKET, 17, SOCK_RAW, 0x0608) and print "packet ";
socket(ECHO, PF_INET, SOCK_DGRAM, 1) and print "echo";
"""


def test_a_container_forges_no_frame_unless_its_manifest_gives_it_raw_sockets(cluster: Cluster, namespace: str) -> None:
    asking = web() | {"name": "asking"}
    asking["template"] = {**web()["template"], "cap_add": ["NET_RAW"], "mounts": []}
    plain = web() | {"name": "plain"}
    plain["template"] = {**web()["template"], "mounts": []}
    cluster.deploy({"namespace": namespace, "services": [asking, plain]})

    def may(name: str) -> list[str]:
        service = f"{namespace}/{name}"
        machine = cluster.slot(service)["machine"]
        return cluster.in_container(machine, service, "perl", "-MSocket", "-e", RIGHTS).split()

    assert may("plain") == ["echo"]
    assert may("asking") == ["raw", "packet", "echo"]


FORGE = """
use Socket;
my ($index, $frame) = @ARGV;
socket(my $s, 17, SOCK_RAW, 0) or die;
send($s, pack("H*", $frame), 0, pack("SnlSCCx8", 17, 0x0806, $index, 0, 0, 0)) or die "$!";
"""


BRIDGE_RULES = ("nft", "list", "table", "bridge", "ployz_bridge")


def test_a_container_takes_no_other_slots_address_by_what_it_sends(cluster: Cluster, namespace: str) -> None:
    """With raw sockets, by the bridge that a deployed container is really plugged into."""
    machine = "machine-b"
    victim, attacker = web("victim", None), web("attacker", None, cap_add=["NET_RAW", "NET_ADMIN"])
    cluster.deploy({"namespace": namespace, "services": [each | {"on": [machine]} for each in (victim, attacker)]})
    slots = {name: cluster.slot(f"{namespace}/{name}") for name in ("victim", "attacker")}
    own, wanted = (slots[name]["ipv4"] for name in ("attacker", "victim"))
    chains = {f"as_{each.replace('.', '_')}" for each in (own, wanted)}
    eventually(lambda: chains <= set(re.findall(r'"veth\w+" : goto (\w+)', cluster.inside(machine, *BRIDGE_RULES))))
    cluster.inside(machine, "ping", "-c", "1", wanted)
    forged = announcement(bytes.fromhex(hardware_address(own).replace(":", "")), wanted)
    service = f"{namespace}/attacker"
    index = cluster.in_container(machine, service, "cat", "/sys/class/net/eth0/ifindex").strip()
    for _ in range(3):
        cluster.in_container(machine, service, "perl", "-e", FORGE, index, forged.hex())
    believed = cluster.inside(machine, "ip", "neigh", "show", "to", wanted)
    assert hardware_address(wanted) in believed
    assert hardware_address(own) not in believed


FETCH = ("sh", "-c", "timeout 5 wget -qO- http://$0:8080/healthz >/dev/null && echo reached || echo refused")


def test_a_namespace_is_reached_by_those_that_it_names_also_after_a_move(cluster: Cluster, namespace: str) -> None:
    guests = [f"{namespace}-{each}" for each in ("friend", "stranger")]
    service = f"{namespace}/web"

    def reach(machine: str, **said: list[str]) -> None:
        cluster.deploy(counter(namespace) | {"services": [web() | {"on": [machine]}]} | said)
        cluster.deploy(counter(namespace) | said)

    def told() -> dict[str, list[str]]:
        address = cluster.slot(service)["ipv4"]
        return {
            guest: [
                cluster.in_container(machine, f"{guest}/{name}", *FETCH, address).strip()
                for name, machine in (("near", "machine-b"), ("far", "machine-c"))
            ]
            for guest in guests
        }

    try:
        for guest in guests:
            slots = [web(name, None) | {"on": [on]} for name, on in (("near", "machine-b"), ("far", "machine-c"))]
            cluster.deploy({"namespace": guest, "services": slots})
        friend, stranger = guests
        reach("machine-b")
        assert told() == {friend: ["reached"] * 2, stranger: ["reached"] * 2}
        reach("machine-b", reachable_from=[friend])
        assert told() == {friend: ["reached"] * 2, stranger: ["refused"] * 2}
        cluster.migrate(service, "machine-c")
        assert told() == {friend: ["reached"] * 2, stranger: ["refused"] * 2}
        assert count(cluster, service) == 1, "in its own container"
    finally:
        for guest in guests:
            remove(cluster, guest)


def hello_of(machine: str, cluster: str) -> bytes:
    from ployz.ids import MachineId
    from ployz.wire.session import Identity, Role, Session

    return Session(Role.CLIENT).send(Identity(MachineId(machine), cluster).hello())


GARBAGE = """
import os, socket, sys
path, addresses = sys.argv[1], sys.argv[2:]
bombs = [b"", b"GET / HTTP/1.1\\r\\n\\r\\n", b"\\xff" * 4096, b"\\x00\\x00\\x00\\x04\\xdd\\xff\\xff\\xff",
         b"\\x00\\x00\\x20\\x00" + b"\\x91" * 8192, os.urandom(65536), b"\\x00\\x00"]
kept = []
for bomb in bombs:
    for where in [path, *addresses]:
        family = socket.AF_UNIX if where == path else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.settimeout(8)
            s.connect(where if where == path else (where, 7701))
            try:
                s.sendall(bomb)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError:
                pass
stalled = [socket.create_connection((addresses[0], 7701)) for _ in range(30)]
print("done")
"""


def test_garbage_disturbs_no_daemon(cluster: Cluster) -> None:
    before = {name: each["ployzd_pid"] for name, each in cluster.machines().items()}
    addresses = [each["ipv6"] for each in cluster.get("machine", "ls")["machines"]]
    assert cluster.python("machine-b", GARBAGE, "/run/ployz/ployzd.sock", *addresses) == "done\n"
    rows = cluster.get("machine", "ls")["machines"]
    assert all(each["reachable"] for each in rows)
    assert {name: each["ployzd_pid"] for name, each in cluster.machines().items()} == before
    for machine in before:
        assert "Traceback" not in cluster.daemon_log(machine)


def test_a_plain_answer_is_one_json_object(cluster: Cluster) -> None:
    done = cluster.run("exec", "machine-c", "--", "ployzctl", "machine", "ls", "--json")
    assert json.loads(done)["payload"]["kind"] == "machine.list"
