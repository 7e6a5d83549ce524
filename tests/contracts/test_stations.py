"""A container that may send any frame and change its own addresses takes nobody else's: on a real bridge.

Each forgery is played twice, with the rules and without them: one that takes nothing without them would prove nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from attrs import evolve, frozen

from ployz.clock import SystemClock
from ployz.host.ports import OverlayConfig, OverlayState, Station, hardware_address
from ployz.host.wireguard import WireGuard
from ployz.host.wireguard.announce import frame as announcement
from tests.netns import NetworkNamespace, machine
from tests.real import need

pytestmark = pytest.mark.real

CONFIG = OverlayConfig(
    interface="wg0",
    ipv6="fd77:7::1",
    ipv4="10.77.0.1",
    listen_port=51820,
    bridge="br0",
    ipv6_subnet="fd77:7:0:1::/64",
    ipv4_subnet="10.78.0.0/16",
    gateways=("fd77:7:0:1::1/64", "10.78.0.1/16"),
)
GATEWAY_MAC = "02:42:00:00:00:01"
VICTIM = Station("10.78.0.13", "fd77:7:0:1::d")
CLIENT = Station("10.78.0.14", "fd77:7:0:1::e")
ATTACKER = Station("10.78.0.15", "fd77:7:0:1::f")
ELSEWHERE = Station("10.78.0.16", "fd77:7:0:1::10")
"""A slot that another machine has."""
ALL_NODES = "ff02::1"


def mac_of(station: Station) -> bytes:
    return bytes.fromhex(hardware_address(station.ipv4).replace(":", ""))


def ipv4(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET, address)


def ipv6(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)


def checksum(content: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def arp_reply(address: str, to: Station) -> bytes:
    """To one: `address` is at the attacker."""
    mac = mac_of(ATTACKER)
    reply = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + mac + ipv4(address) + mac_of(to) + ipv4(to.ipv4)
    return mac_of(to) + mac + b"\x08\x06" + reply


def icmpv6(source: str, target: str, kind: int, body: bytes, mac: bytes) -> bytes:
    payload = struct.pack("!BBH", kind, 0, 0) + body
    pseudo = ipv6(source) + ipv6(target) + struct.pack("!II", len(payload), socket.IPPROTO_ICMPV6)
    payload = payload[:2] + struct.pack("!H", checksum(pseudo + payload)) + payload[4:]
    header = struct.pack("!IHBB", 6 << 28, len(payload), socket.IPPROTO_ICMPV6, 255) + ipv6(source) + ipv6(target)
    group = b"\x33\x33" + ipv6(target)[-4:]
    return group + mac + b"\x86\xdd" + header + payload


def solicitation(source: str, about: str) -> bytes:
    """Who asks says where the source is."""
    option = b"\x01\x01" + mac_of(ATTACKER)
    group = "ff02::1:ff" + ipv6(about)[-3:].hex()[:2] + ":" + ipv6(about)[-2:].hex()
    return icmpv6(source, group, 135, bytes(4) + ipv6(about) + option, mac_of(ATTACKER))


def router() -> bytes:
    """RFC 4861, 4.2: a default router for half an hour."""
    return icmpv6("fe80::42:aff:fe4e:f", ALL_NODES, 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0), mac_of(ATTACKER))


def datagram(source: str, to: Station, source_port: int, port: int, mac: bytes) -> bytes:
    udp = struct.pack("!HHHH", source_port, port, 8, 0)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, socket.IPPROTO_UDP, 0) + ipv4(source) + ipv4(to.ipv4)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return mac_of(to) + mac + b"\x08\x00" + header + udp


@frozen
class Container:
    network: NetworkNamespace
    station: Station
    port: str

    def neighbour(self, address: str) -> str:
        return neighbour(self.network, "eth0", address)


def neighbour(network: NetworkNamespace, device: str, address: str) -> str:
    """The hardware address that it believes in; empty: none."""
    words = network.run("ip", "neigh", "show", "to", address, "dev", device).split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


class Host:
    def __init__(self, namespace: NetworkNamespace, folder: Path) -> None:
        self.namespace = namespace
        self.overlay = WireGuard(folder / "key", SystemClock(), prefix=namespace.prefix)
        self.containers: dict[str, Container] = {}

    def up(self) -> None:
        self.namespace.ip(
            f"link add br0 address {GATEWAY_MAC} type bridge",
            "link set br0 up",
            "addr add 10.78.0.1/16 dev br0",
            "addr add fd77:7:0:1::1/64 dev br0 nodad",
            "addr add fe80::1/64 dev br0 nodad",
        )
        anyio.run(self.overlay.up, CONFIG, backend="trio")
        self.namespace.run("sysctl", "-qw", "net/ipv4/neigh/br0/locktime=0")  # believed at once, and not after a second

    @contextmanager
    def plug(self, station: Station, port: str) -> Iterator[Container]:
        """Its process is one of this machine, whose ids are its own."""
        argv = [*self.namespace.prefix, "unshare", "--net", "sh", "-c", "echo $$; exec sleep infinity"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            inner = int(holder.stdout.readline())
            outer = int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0])
            network = NetworkNamespace(outer)
            try:
                self.namespace.ip(
                    f"link add {port} type veth peer name eth0 netns {outer}", f"link set {port} master br0 up"
                )
                network.ip(
                    "link set lo up",
                    f"link set eth0 address {hardware_address(station.ipv4)} up",
                    f"addr add {station.ipv4}/16 dev eth0",
                    f"addr add {station.ipv6}/64 dev eth0 nodad",
                )
                network.run("sysctl", "-qw", "net/ipv4/neigh/eth0/locktime=0")
                yield Container(network, evolve(station, process=inner), port)
            finally:
                os.kill(outer, signal.SIGKILL)

    def allow(self, *stations: Station) -> None:
        state = OverlayState(peers=(), local=frozenset(), stations=frozenset(stations))
        anyio.run(partial(self.overlay.apply, state), backend="trio")


@frozen
class Room:
    host: Host
    victim: Container
    client: Container
    attacker: Container

    @property
    def stations(self) -> tuple[Station, ...]:
        return (self.victim.station, self.client.station, self.attacker.station)

    def meet(self) -> None:
        """Everybody knows everybody, as it should be."""
        self.host.namespace.run("ip", "neigh", "flush", "dev", "br0")
        self.client.network.run("ip", "neigh", "flush", "dev", "eth0")
        for address in (VICTIM.ipv4, VICTIM.ipv6):
            assert self.host.namespace.reaches(address), address
            assert self.client.network.reaches(address), address
        for address in (CLIENT.ipv4, "10.78.0.1"):
            assert self.victim.network.reaches(address)
            assert self.attacker.network.reaches(address)
        assert self.client.network.reaches("10.78.0.1")
        assert self.client.network.reaches("fd77:7:0:1::1")

    def taken(self) -> list[str]:
        """What is not as it should be: who is believed to be where, and what arrived."""
        right = hardware_address(VICTIM.ipv4)
        found = [
            f"{name} has {address} at {at}"
            for address in (VICTIM.ipv4, VICTIM.ipv6)
            for name, at in (
                ("the host", neighbour(self.host.namespace, "br0", address)),
                ("the client", self.client.neighbour(address)),
            )
            if at not in {right, ""}
        ]
        found += [
            f"the client has the gateway at {at}"
            for address in ("10.78.0.1", "fd77:7:0:1::1")
            if (at := self.client.neighbour(address)) not in {GATEWAY_MAC, ""}
        ]
        if self.client.network.run("ip", "-6", "route", "show", "default"):
            found.append("the client has a router")
        table = self.host.namespace.run("bridge", "fdb", "show", "br", "br0").splitlines()
        for mac in (right, GATEWAY_MAC):
            if any(line.startswith(mac) and f"dev {self.attacker.port} " in line for line in table):
                found.append(f"{mac} is at the attacker's port")
        counted = self.client.network.run("nft", "list", "table", "inet", "seen")
        found += [line.strip() for line in counted.splitlines() if "counter" in line and "packets 0 " not in line]
        return found

    def taken_by(self, play: Callable[[Container], None]) -> list[str]:
        play(self.attacker)
        return self.taken()

    def clear(self) -> None:
        """The client forgets what it was told, and counts anew."""
        self.client.network.try_("ip", "-6", "route", "flush", "default")
        self.client.network.try_("ip", "-6", "route", "del", "default", "proto", "ra")
        script = f"""
            add table inet seen
            delete table inet seen
            add table inet seen
            add chain inet seen input {{ type filter hook input priority -400; }}
            add rule inet seen input udp sport 67 counter
            add rule inet seen input udp dport 9999 ip saddr {{ {VICTIM.ipv4}, {ELSEWHERE.ipv4} }} counter
        """
        self.client.network.run("nft", "-f", "-", stdin=script)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    need("wg", "ip", "bridge", "ping", "unshare", "nsenter", "setpriv", "sysctl", "iptables", "ip6tables", "nft")
    with machine() as namespace, ExitStack() as stack:
        host = Host(namespace, tmp_path)
        host.up()
        plug = [host.plug(each, f"port{n}") for n, each in enumerate((VICTIM, CLIENT, ATTACKER))]
        made = Room(host, *(stack.enter_context(each) for each in plug))
        made.clear()
        yield made


SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    for each in sys.argv[1:]:
        wire.send(bytes.fromhex(each))
"""
PLAIN = ("setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin")


def send(attacker: Container, *frames: bytes, rights: tuple[str, ...] = ()) -> bool:
    argv = (*rights, sys.executable, "-I", "-S", "-c", SEND, *(each.hex() for each in frames))
    return attacker.network.try_(*argv).returncode == 0


def frames(*made: bytes) -> Callable[[Container], None]:
    def play(attacker: Container) -> None:
        assert send(attacker, *made)

    return play


def another_address(attacker: Container) -> None:
    """Its own interface gets the victim's hardware address, and speaks: the bridge learns where that is."""
    attacker.network.ip(f"link set eth0 address {hardware_address(VICTIM.ipv4)}")
    send(attacker, datagram(ATTACKER.ipv4, CLIENT, 5000, 5000, mac_of(VICTIM)))
    attacker.network.ip(f"link set eth0 address {hardware_address(ATTACKER.ipv4)}")


MAC = mac_of(ATTACKER)
FORGERIES: dict[str, Callable[[Container], None]] = {
    "gratuitous ARP": frames(announcement(MAC, VICTIM.ipv4)),
    "an ARP reply": frames(arp_reply(VICTIM.ipv4, CLIENT)),
    "neighbour advertisement": frames(announcement(MAC, VICTIM.ipv6)),
    "neighbour solicitation": frames(solicitation(VICTIM.ipv6, CLIENT.ipv6)),
    "gateway by ARP": frames(announcement(MAC, "10.78.0.1"), arp_reply("10.78.0.1", CLIENT)),
    "gateway by neighbour discovery": frames(announcement(MAC, "fd77:7:0:1::1")),
    "router advertisement": frames(router()),
    "DHCP server": frames(datagram(ATTACKER.ipv4, CLIENT, 67, 68, MAC)),
    "another source": frames(datagram(VICTIM.ipv4, CLIENT, 5000, 9999, MAC)),
    "a source of another machine": frames(datagram(ELSEWHERE.ipv4, CLIENT, 5000, 9999, MAC)),
    "another's hardware address": frames(datagram(VICTIM.ipv4, CLIENT, 5000, 5000, mac_of(VICTIM))),
    "its own interface's": another_address,
}


def test_no_forgery_takes_anything_and_each_would(room: Room) -> None:
    for what, play in FORGERIES.items():
        room.meet()
        room.clear()
        assert room.taken() == [], what
        assert any(room.taken_by(play) for _ in range(3)), f"{what} takes nothing"  # the victim speaks, too
    room.host.allow(*room.stations)
    for what, play in FORGERIES.items():
        room.meet()
        room.clear()
        assert room.taken_by(play) == [], what
        assert room.client.network.reaches(VICTIM.ipv4), what
    assert not send(room.attacker, announcement(MAC, VICTIM.ipv4), rights=PLAIN), "without NET_RAW there is no frame"


def test_who_has_no_port_yet_speaks_for_itself_alone(room: Room) -> None:
    """Nobody said which process is whose: before a start, or where Docker is not asked."""
    room.host.allow(*(evolve(each, process=0) for each in room.stations))
    for what, play in FORGERIES.items():
        if "hardware" in what or "own" in what:
            continue  # by which it is known until its port is
        room.meet()
        room.clear()
        assert room.taken_by(play) == [], what


def is_silent(client: Container) -> bool:
    """The victim is."""
    return client.network.try_("ping", "-n", "-c", "1", "-W", "0.5", VICTIM.ipv4).returncode != 0


def test_a_port_is_a_stations_as_long_as_it_is_plugged_in(room: Room) -> None:
    host = room.host
    host.allow(*room.stations)
    host.namespace.ip("link del port0")
    assert is_silent(room.client)
    host.allow(evolve(room.victim.station, process=0), *room.stations[1:])
    with host.plug(VICTIM, "port0") as again:
        assert room.client.network.reaches(VICTIM.ipv4), (
            "the first packet of a container passes before its port is known"
        )
        host.allow(again.station, *room.stations[1:])
        assert room.client.network.reaches(VICTIM.ipv6)
        another_address(room.attacker)
        assert room.taken() == []
        host.allow(*room.stations[1:])  # it has moved to another machine
        assert is_silent(room.client)
        host.allow(again.station, *room.stations[1:])
        assert room.client.network.reaches(VICTIM.ipv4)
    assert host.namespace.run("nft", "list", "table", "bridge", "ployz_bridge").count("chain as_") == 3


def test_a_next_ployzd_finds_out_whose_ports_these_are(room: Room, tmp_path: Path) -> None:
    room.host.allow(*room.stations)
    printed = room.host.namespace.run("nft", "list", "table", "bridge", "ployz_bridge")
    room.host.overlay = WireGuard(tmp_path / "key", SystemClock(), prefix=room.host.namespace.prefix)
    anyio.run(room.host.overlay.up, CONFIG, backend="trio")
    unknown = OverlayState(peers=(), local=frozenset())
    anyio.run(partial(room.host.overlay.apply, unknown), backend="trio")
    assert room.host.namespace.run("nft", "list", "table", "bridge", "ployz_bridge") == printed
    room.host.allow(*room.stations)
    assert room.host.namespace.run("nft", "list", "table", "bridge", "ployz_bridge") == printed
