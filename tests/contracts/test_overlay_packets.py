"""Three machines on one switch, WireGuard between them, containers on their bridges: do packets arrive?

Each `reaches` is one packet: what is lost is not sent again, so that nothing here passes by waiting.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from attrs import evolve

from ployz.actors.looking import LOOK_EVERY_S
from ployz.clock import SystemClock
from ployz.errors import Failed
from ployz.host.ports import Circle, Offer, OverlayConfig, OverlayPeer, OverlayState
from ployz.host.readiness import LOOK_MARK
from ployz.host.wireguard import WireGuard
from ployz.host.wireguard.changes import Changes, changes
from ployz.host.wireguard.commands import Commands
from tests.netns import NetworkNamespace, machine, network
from tests.real import PATIENCE, need

pytestmark = pytest.mark.real

T = TypeVar("T")

DB = frozenset({"fd77:7:0:1::d", "10.78.0.13"})
WEB = frozenset({"fd77:7:0:1::e", "10.78.0.14"})
NEIGHBOUR = frozenset({"fd77:7:0:1::f", "10.78.0.15"})


def wait_for(call: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(call, backend="trio")


class Machine:
    """Its namespace, its driver, and the containers that are plugged into its bridge."""

    def __init__(self, number: int, namespace: NetworkNamespace, folder: Path) -> None:
        self.namespace = namespace
        self.endpoint = f"192.0.2.{number}:51820"
        self.config = OverlayConfig(
            interface="wg0",
            ipv6=f"fd77:7::{number}",
            ipv4=f"10.77.0.{number}",
            listen_port=51820,
            bridge="br0",
            ipv6_subnet="fd77:7:0:1::/64",
            ipv4_subnet="10.78.0.0/16",
            machine_ports=frozenset({7701, 2379}),
            control_ports=frozenset({2379}),
            gateways=("fd77:7:0:1::1/64", "10.78.0.1/16"),
        )
        self.overlay = WireGuard(folder / f"key-{number}", SystemClock(), prefix=namespace.prefix)
        self.key = wait_for(self.overlay.public_key)
        self.own = frozenset({self.config.ipv6, self.config.ipv4})
        self.containers: dict[frozenset[str], tuple[NetworkNamespace, ExitStack]] = {}

    def up(self) -> None:
        wait_for(partial(self.overlay.up, self.config))

    def make_bridge(self) -> None:
        """As Docker makes it: a hardware address that stays, and the same gateway addresses on every machine.

        Those of IPv6 stay tentative until a first container gives the bridge a carrier, and for seconds after.
        """
        self.namespace.ip(
            "link add br0 address 02:42:00:00:00:01 type bridge",
            "link set br0 mtu 1420 up",
            "addr add 10.78.0.1/16 dev br0",
            "addr add fd77:7:0:1::1/64 dev br0",
            "addr add fe80::1/64 dev br0",
        )

    def forward_only_what_is_accepted(self) -> None:
        """As Docker does, for both families."""
        for program in ("iptables", "ip6tables"):
            self.namespace.run(program, "-N", "DOCKER-USER")
            self.namespace.run(program, "-A", "FORWARD", "-j", "DOCKER-USER")
            self.namespace.run(program, "-P", "FORWARD", "DROP")

    def start(self, addresses: frozenset[str]) -> NetworkNamespace:
        """A container: a network with these addresses, on the bridge."""
        stack = ExitStack()
        container = stack.enter_context(network())
        self.containers[addresses] = (container, stack)
        port = f"veth{container.pid}"
        self.namespace.ip(
            f"link add {port} mtu 1420 type veth peer name eth0 netns {container.pid}",
            f"link set {port} master br0 up",
        )
        container.ip(
            "link set eth0 mtu 1420 up",
            *(f"addr add {each}/64 dev eth0 nodad" for each in addresses if ":" in each),
            *(f"addr add {each}/16 dev eth0" for each in addresses if ":" not in each),
            "route add default via 10.78.0.1",
            "route add default via fd77:7:0:1::1",
        )
        return container

    def stop(self, addresses: frozenset[str]) -> None:
        """Its port goes with it, as when Docker removed it."""
        container, stack = self.containers.pop(addresses)
        self.namespace.ip(f"link del veth{container.pid}")
        stack.close()

    def look(self) -> Commands:
        return Commands(self.namespace.prefix)


class Rig:
    """`where` says which machine holds which container's addresses; `follow` tells the machines."""

    def __init__(self, machines: list[Machine]) -> None:
        self.machines = machines
        self.where: dict[frozenset[str], Machine] = {}

    def state_for(self, viewer: Machine) -> OverlayState:
        peers = [each for each in self.machines if each is not viewer]
        return OverlayState(
            peers=tuple(OverlayPeer(each.key, each.endpoint, each.own | self.held_by(each)) for each in peers),
            local=self.held_by(viewer),
        )

    def held_by(self, holder: Machine) -> frozenset[str]:
        return frozenset().union(*(addresses for addresses, at in self.where.items() if at is holder))

    def follow(self, *machines: Machine) -> None:
        for each in machines or self.machines:
            wait_for(partial(each.overlay.apply, self.state_for(each)))

    def place(self, addresses: frozenset[str], at: Machine) -> NetworkNamespace:
        self.where[addresses] = at
        return at.start(addresses)

    def move(self, addresses: frozenset[str], to: Machine) -> None:
        """As a migration does it: gone at the source, claimed at the target, started, and then everybody follows."""
        self.where[addresses].stop(addresses)
        self.where[addresses] = to
        self.follow(to)
        to.start(addresses)
        self.follow()

    def assert_reachable_from_everywhere(self, addresses: frozenset[str]) -> None:
        for number, each in enumerate(self.machines, start=1):
            for address in sorted(addresses):
                assert each.namespace.reaches(address), f"the host of machine {number} does not reach {address}"
                for container, _ in each.containers.values():
                    assert container.reaches(address), f"a container on machine {number} does not reach {address}"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    need("wg", "ip", "ping", "pidof", "unshare", "nsenter", "setpriv", "sysctl", "iptables", "ip6tables", "nft")
    with ExitStack() as stack:
        switch = stack.enter_context(network())
        switch.ip("link add sw0 type bridge", "link set sw0 up")
        machines = [Machine(number, stack.enter_context(machine()), tmp_path) for number in (1, 2, 3)]
        for number, each in enumerate(machines, start=1):
            switch.ip(
                f"link add m{number} type veth peer name eth0 netns {each.namespace.pid}",
                f"link set m{number} master sw0 up",
            )
            each.namespace.ip(f"addr add 192.0.2.{number}/24 dev eth0", "link set eth0 up")
            each.up()
        yield Rig(machines)
        for each in machines:
            for _, container in each.containers.values():
                container.close()


@pytest.fixture
def bridged(rig: Rig) -> Rig:
    """With bridges, which come after `up`, as on a machine that boots: Docker starts late."""
    for each in rig.machines:
        each.make_bridge()
    return rig


def test_an_address_stays_reachable_from_everywhere_when_it_moves_there_and_back(bridged: Rig) -> None:
    first, second, third = bridged.machines
    bridged.place(DB, first)
    bridged.place(WEB, third)
    bridged.place(NEIGHBOUR, first)  # on the source's own bridge: it knows the hardware address that goes away
    bridged.follow()
    bridged.assert_reachable_from_everywhere(DB)
    bridged.move(DB, second)
    bridged.assert_reachable_from_everywhere(DB)
    bridged.move(DB, first)
    bridged.assert_reachable_from_everywhere(DB)
    bridged.move(DB, third)
    bridged.assert_reachable_from_everywhere(DB | WEB | NEIGHBOUR)


LISTEN = """
import socket, sys
with socket.create_server(("", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("listening", flush=True)
    while True:
        server.accept()[0].close()
"""
CONNECT = """
import socket, sys
address, mark, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
    client.settimeout(1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    client.connect((address, port))
"""
SEGMENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as client:
    print(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
"""


@contextmanager
def listening(container: NetworkNamespace, port: int = 5432) -> Iterator[None]:
    argv = [*container.prefix, sys.executable, "-c", LISTEN, str(port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "listening\n"
            yield
        finally:
            server.kill()


def connects(source: NetworkNamespace, address: str, mark: int = 0, port: int = 5432) -> bool:
    return source.try_(sys.executable, "-c", CONNECT, address, str(mark), str(port)).returncode == 0


def test_a_candidate_that_is_closed_is_reached_by_looks_alone_until_it_is_opened(bridged: Rig) -> None:
    first, _, _ = bridged.machines
    db, web = bridged.place(DB, first), bridged.place(WEB, first)
    bridged.follow()
    with listening(db), listening(web):
        for address in sorted(DB):
            assert connects(first.namespace, address)
            assert connects(web, address)
        assert wait_for(first.overlay.doors) == frozenset()
        wait_for(partial(first.overlay.apply, evolve(bridged.state_for(first), closed=DB)))
        assert wait_for(first.overlay.doors) == frozenset(DB)
        for address in sorted(DB):
            assert not connects(first.namespace, address)
            assert not connects(web, address)
            assert connects(first.namespace, address, LOOK_MARK)
        assert all(connects(db, address) for address in sorted(WEB)), "what it begins itself is answered"
        bridged.follow(first)
        assert wait_for(first.overlay.doors) == frozenset()
        for address in sorted(DB):
            assert connects(first.namespace, address)
            assert connects(web, address)


def test_what_is_for_machines_is_reached_by_machines_and_by_no_container_here_or_elsewhere(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    web, _ = bridged.place(WEB, first), bridged.place(DB, second)
    bridged.follow()
    with (
        listening(first.namespace, 7701),
        listening(second.namespace, 7701),
        listening(second.namespace, 5432),
    ):
        for address in sorted(first.own | second.own | {"10.78.0.1", "fd77:7:0:1::1", "192.0.2.1"}):
            assert not connects(web, address, port=7701), address
        for address in sorted(second.own):
            assert connects(first.namespace, address, port=7701), "a machine reaches it"
            assert not connects(web, address), "past the machine's own firewall"
            assert connects(first.namespace, address), "machines reach it"
        wait_for(
            partial(second.overlay.apply, evolve(bridged.state_for(second), offered=frozenset({Offer("tcp", 5432)})))
        )
        for address in sorted(second.own):
            assert connects(web, address), "what is offered is reached"
        assert first.namespace.reaches("10.78.0.14"), "what a machine asks a container is answered"
        second.up()
        assert connects(web, second.config.ipv4), "also when ployzd starts again"


ASK = """
import socket, sys
address, port, own = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(1)
    client.bind(("", own))
    client.sendto(b"?", (address, port))
    client.recv(16)
"""
ANSWER = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("", 5353))
    print("listening", flush=True)
    while True:
        server.sendto(b"!", server.recvfrom(16)[1])
"""


@contextmanager
def answering(container: NetworkNamespace) -> Iterator[None]:
    with subprocess.Popen(
        [*container.prefix, sys.executable, "-c", ANSWER], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "listening\n"
            yield
        finally:
            server.kill()


def is_answered(source: NetworkNamespace, address: str, own: int = 0) -> bool:
    """By UDP."""
    return source.try_(sys.executable, "-c", ASK, address, "5353", str(own)).returncode == 0


@pytest.mark.parametrize("is_bridged_traffic_routed", ["1", "0"], ids=["br_netfilter", "bridge alone"])
def test_a_namespace_is_reached_by_those_that_it_admits_and_answered_by_all(
    bridged: Rig, is_bridged_traffic_routed: str
) -> None:
    first, second, _ = bridged.machines
    switches = [f"net.bridge.bridge-nf-call-{each}tables={is_bridged_traffic_routed}" for each in ("ip", "ip6")]
    first.namespace.run("sysctl", "-qw", *switches)
    db, neighbour = bridged.place(DB, first), bridged.place(NEIGHBOUR, first)
    web = bridged.place(WEB, second)
    bridged.follow()

    def admit(*addresses: frozenset[str]) -> None:
        circle = Circle("production", DB, frozenset().union(DB, *addresses))
        wait_for(partial(first.overlay.apply, evolve(bridged.state_for(first), circles=(circle,))))

    with listening(db), listening(web), listening(neighbour), answering(db), answering(web), answering(neighbour):
        for admitted, refused in (((), (web, neighbour)), ((WEB, NEIGHBOUR), ())):
            admit(*admitted)
            for source in (web, neighbour):
                for address in sorted(DB):
                    assert connects(source, address) == (source not in refused), address
                    assert is_answered(source, address) == (source not in refused), address
        admit()
        for address in sorted(WEB | NEIGHBOUR):
            assert connects(db, address), "who is in it reaches the others"
            assert is_answered(db, address), "and hears their answers"
        for address in sorted(DB):
            for machine_ in (first, second):
                assert connects(machine_.namespace, address), "machines reach it"
        assert wait_for(partial(first.overlay.drift, evolve(bridged.state_for(first), circles=()))) == {}
        bridged.follow()
        assert connects(web, "10.78.0.13")


def test_a_neighbour_on_the_underlay_reaches_no_overlay_address_of_a_machine(bridged: Rig) -> None:
    first, second, third = bridged.machines
    bridged.place(WEB, first)
    bridged.follow()
    with listening(first.namespace, 53):
        for address in sorted(first.own):
            assert connects(second.namespace, address, port=53), "by the overlay it is reached"
        third.namespace.run("ip", "link", "del", "wg0")
        third.namespace.ip(
            "route replace 10.77.0.1/32 via 192.0.2.1",
            "route replace 10.78.0.1/32 via 192.0.2.1",
            "neigh replace fd77:7::1 dev eth0 lladdr " + hardware_address_of(first.namespace),
            "route replace fd77:7::1/128 dev eth0",
        )
        assert connects(third.namespace, "192.0.2.1", port=53), "the machine itself is"
        for address in (*sorted(first.own), "10.78.0.1"):
            assert not connects(third.namespace, address, port=53), address


def hardware_address_of(machine: NetworkNamespace) -> str:
    return machine.run("cat", "/sys/class/net/eth0/address").strip()


def test_containers_see_each_other_under_their_own_addresses_through_a_closed_firewall(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    for each in (first, second):
        each.forward_only_what_is_accepted()
    db, web = bridged.place(DB, first), bridged.place(WEB, second)
    db.ip("route del default via 10.78.0.1", "route del default via fd77:7:0:1::1")  # it answers its own subnet alone
    bridged.follow()
    assert all(web.reaches(address) for address in DB)


def test_a_container_reaches_the_outside_under_the_address_of_its_host(bridged: Rig) -> None:
    first, _, _ = bridged.machines
    web = bridged.place(WEB, first)
    bridged.follow()
    assert web.reaches("192.0.2.2")  # machine 2 on the underlay, which knows no way back to a container of machine 1


MEDDLING = {
    "flushed": "iptables -F; ip6tables -F",
    "another's firewall": "iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X; iptables -P FORWARD DROP",
    "nothing left": "nft flush ruleset; iptables -P FORWARD DROP; ip6tables -P FORWARD DROP",
    "behind Docker": "iptables -N DOCKER; iptables -I FORWARD -j DOCKER",
    "forwarding": "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
    "proxies": "sysctl -qw net/ipv4/conf/br0/proxy_arp=0 net/ipv6/conf/br0/proxy_ndp=0",
    "routes": "ip route flush dev wg0; ip -6 route flush dev wg0",
    "routes of the bridge": "ip route flush dev br0; ip -6 route flush dev br0",
    "addresses": "ip addr flush dev br0; ip addr flush dev wg0",
    "down": "ip link set br0 down; ip link set wg0 down",
    "ports": "nft delete table inet ployz_ports",
    "one of its rules": "nft delete rule inet ployz_ports input handle $(nft -a list table inet ployz_ports"
    " | sed -n 's/.* drop # handle //p' | head -1)",
    "peers": "for key in $(wg show wg0 peers); do wg set wg0 peer $key remove; done",
}
"""What others do to one machine."""


def test_whatever_others_take_away_is_seen_and_comes_back(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    first.forward_only_what_is_accepted()
    db, web = bridged.place(DB, first), bridged.place(WEB, second)
    bridged.follow()
    state = bridged.state_for(first)
    assert wait_for(partial(first.overlay.drift, state)) == {}
    for what, commands in MEDDLING.items():
        first.namespace.run("sh", "-ec", commands)
        seen = wait_for(partial(first.overlay.drift, state))
        assert seen, what
        for _ in range(2):
            wait_for(partial(first.overlay.restore, state, wait_for(partial(first.overlay.drift, state))))
        assert wait_for(partial(first.overlay.drift, state)) == {}, what
        assert all(web.reaches(address) for address in DB), what
        assert all(db.reaches(address) for address in WEB), what
        assert db.reaches("192.0.2.2"), what


LOSSES = """
import sys
from functools import partial
import anyio
from ployz.host.wireguard.losses import Losses

async def main():
    losses = Losses(frozenset({"wg0", "br0"}))
    print("listening", flush=True)
    for _ in sys.stdin:
        found = False
        with anyio.move_on_after(1.0):
            await losses.next()
            found = True
        print("lost" if found else "nothing", flush=True)

anyio.run(main, backend="trio")
"""


def test_the_kernel_tells_what_goes_of_the_overlay_and_nothing_is_heard_of_others(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    bridged.place(DB, second)
    bridged.follow()
    argv = [*first.namespace.prefix, sys.executable, "-c", LOSSES]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdin is not None
        assert listener.stdout is not None

        def hears(commands: str) -> str:
            assert listener.stdin is not None
            assert listener.stdout is not None
            first.namespace.run("sh", "-ec", commands)
            listener.stdin.write("\n")
            listener.stdin.flush()
            return listener.stdout.readline().strip()

        try:
            assert listener.stdout.readline() == "listening\n"
            hears("true")  # opens its sockets
            assert (
                hears("ip link add x0 type bridge; ip link del x0; iptables -N OTHERS; iptables -X OTHERS") == "nothing"
            )
            for what in ("routes", "addresses", "down", "ports", "flushed"):
                assert hears(MEDDLING[what]) == "lost", what
        finally:
            listener.kill()


def test_looking_changes_nothing_and_costs_little(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    bridged.place(DB, second)
    bridged.follow()
    before = first.namespace.run("iptables-save", "-t", "filter")
    used_s = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        assert wait_for(partial(first.overlay.drift, bridged.state_for(first))) == {}
    after_s = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert first.namespace.run("iptables-save", "-t", "filter").count("-A") == before.count("-A")
    spent_s = (after_s.ru_utime + after_s.ru_stime - used_s.ru_utime - used_s.ru_stime) / 5
    assert spent_s < 0.01 * LOOK_EVERY_S * PATIENCE, f"{spent_s:.3f} s of a core"


def test_a_bridge_that_was_made_anew_gets_its_settings_again(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    bridged.place(DB, second)
    bridged.follow()
    first.namespace.ip("link del br0")
    bridged.follow()
    first.make_bridge()
    web = bridged.place(WEB, first)
    bridged.follow()
    assert all(web.reaches(address) for address in DB)


def test_a_machine_asks_for_its_first_container_without_waiting(bridged: Rig) -> None:
    first, _, _ = bridged.machines
    bridged.follow()
    bridged.place(DB, first)  # gives the bridge its carrier: what was tentative until now is doubted from now on
    doubted = first.namespace.run("ip", "-6", "-o", "addr", "show", "dev", "br0", "tentative")
    assert not {"fe80::1/64", "fd77:7:0:1::1/64"} & set(doubted.split())


def test_a_full_packet_passes_without_fragments(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    bridged.place(DB, first)
    web = bridged.place(WEB, second)
    bridged.follow()
    headers = {"fd77:7:0:1::d": 48, "10.78.0.13": 28}
    for address, size in headers.items():
        web.run("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", str(1420 - size), address)


def test_a_narrow_interface_is_found_and_a_way_that_is_said_to_be_narrow_gets_smaller_packets(bridged: Rig) -> None:
    first, second, third = bridged.machines
    db, web = bridged.place(DB, first), bridged.place(WEB, second)
    bridged.follow()
    first.namespace.run("ip", "link", "set", "eth0", "mtu", "1400")
    assert wait_for(first.overlay.ways) == {second.key: 1340, third.key: 1340}
    assert set(wait_for(second.overlay.ways).values()) == {1420}

    second.namespace.run("ip", "link", "set", "eth0", "mtu", "1400")
    for here, there in ((first, second), (second, first)):
        state = bridged.state_for(here)
        narrow = evolve(
            state, peers=tuple(evolve(each, mtu=1340) for each in state.peers if each.public_key == there.key)
        )
        wait_for(partial(here.overlay.apply, narrow))
        assert wait_for(partial(here.overlay.drift, narrow)) == {}
    for address, headers in {"fd77:7:0:1::d": 48, "10.78.0.13": 28}.items():
        web.run("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", str(1328 - headers), address)
        refused = web.try_("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", str(1329 - headers), address)
        assert "1328" in refused.stdout + refused.stderr, "the host says what fits"
    with listening(db):
        for address in sorted(DB):
            assert int(web.run(sys.executable, "-c", SEGMENT, address, "5432")) <= 1328 - 40


def test_words_between_machines_fit_into_the_smallest_packet_and_bulk_into_what_the_way_takes(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    bridged.follow()
    for port, largest in {2379: 1220, 7701: 1360}.items():
        with listening(first.namespace, port):
            segment = int(second.namespace.run(sys.executable, "-c", SEGMENT, first.config.ipv6, str(port)))
        assert largest - 20 < segment <= largest, port


def test_a_state_that_holds_already_is_not_written_again(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    bridged.place(DB, second)
    bridged.place(WEB, first)
    bridged.follow()
    seen = wait_for(partial(first.look().look, first.config))
    assert seen is not None
    assert changes(first.config, bridged.state_for(first), *seen, now_s=0) == Changes()


def test_a_removed_peer_leaves_nothing_behind(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    bridged.place(DB, second)
    bridged.follow()
    wait_for(partial(first.overlay.apply, OverlayState(peers=(), local=frozenset())))
    seen = wait_for(partial(first.look().look, first.config))
    assert seen is not None
    device, paths = seen
    assert not device.peers
    assert not paths.routes
    assert not paths.proxies


def test_a_peer_that_speaks_has_a_handshake_and_bytes(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    bridged.follow()
    assert first.namespace.reaches(second.config.ipv6)
    (status,) = [peer for peer in wait_for(first.overlay.status) if peer.public_key == second.key]
    assert status.handshake_age_s is not None
    assert status.received_bytes > 0
    assert status.sent_bytes > 0


def status_fails(machine: Machine) -> bool:
    try:
        wait_for(machine.overlay.status)
    except Failed:
        return True
    return False


def test_a_killed_wireguard_go_is_an_error_in_status_and_is_revived_by_apply(bridged: Rig) -> None:
    first, second, _ = bridged.machines
    pids = first.namespace.try_("pidof", "wireguard-go").stdout.split()
    if not pids:
        pytest.skip("this kernel has WireGuard: there is no daemon that could die")
    bridged.place(DB, second)
    bridged.follow()
    first.namespace.run("kill", f"-{int(signal.SIGKILL)}", *pids)
    assert any(status_fails(first) for _ in range(100))  # it dies a moment after the signal
    bridged.follow()
    assert all(first.namespace.reaches(address) for address in DB)


def test_a_device_that_runs_is_adopted_by_the_next_ployzd(bridged: Rig, tmp_path: Path) -> None:
    first, second, _ = bridged.machines
    bridged.place(DB, second)
    bridged.follow()
    device = first.namespace.run("ip", "-o", "link", "show", "dev", "wg0")
    first.overlay = WireGuard(tmp_path / "key-1", SystemClock(), prefix=first.namespace.prefix)
    first.up()
    assert all(first.namespace.reaches(address) for address in DB)
    assert first.namespace.run("ip", "-o", "link", "show", "dev", "wg0") == device


def test_an_interface_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    need("wg", "ip", "unshare", "nsenter", "setpriv")
    with machine() as namespace:
        namespace.ip("link add wg0 type bridge")
        with pytest.raises(Failed, match="there is an interface wg0 already"):
            Machine(1, namespace, tmp_path).up()
        assert "bridge" in namespace.run("ip", "-d", "link", "show", "dev", "wg0")


def test_a_host_that_got_its_route_from_a_router_goes_on_listening_to_it(tmp_path: Path) -> None:
    need("wg", "ip", "unshare", "nsenter", "setpriv", "sysctl")
    with machine() as namespace:
        namespace.ip(
            "link add eth0 type veth peer name router",
            "link set eth0 up",
            "link set router up",
            "route add default via fe80::1 dev eth0 proto ra",
        )
        Machine(1, namespace, tmp_path).up()
        assert namespace.run("sysctl", "-n", "net.ipv6.conf.eth0.accept_ra").strip() == "2"
        assert namespace.run("sysctl", "-n", "net.ipv6.conf.all.forwarding").strip() == "1"
