"""The contract of the Overlay port, on the fake and on WireGuard; and on WireGuard, that packets really arrive.

The real one runs in network namespaces: three machines on one switch, each with a bridge and containers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from attrs import define, evolve

from ployz.clock import SystemClock
from ployz.errors import Failed
from ployz.host.fakes.overlay import FakeOverlay
from ployz.host.ports import Overlay, OverlayConfig, OverlayPeer, OverlayState
from ployz.host.wireguard import WireGuard
from ployz.host.wireguard.changes import Changes, changes
from ployz.host.wireguard.commands import Commands
from tests.netns import NetworkNamespace, machine, network
from tests.real import need

T = TypeVar("T")

WORKLOADS_V6, WORKLOADS_V4 = "fd77:7:0:1::/64", "10.78.0.0/16"
DB = frozenset({"fd77:7:0:1::d", "10.78.0.13"})
WEB = frozenset({"fd77:7:0:1::e", "10.78.0.14"})
NEIGHBOUR = frozenset({"fd77:7:0:1::f", "10.78.0.15"})
KEY_A = "sF8yGuhrqVf2BlhVNXV8hzHKwcJlPDVMOMbQ5TG2c1c="
KEY_B = "qC4LzLlU2hL4PpGXZYqVbAGV9YzQZCSlYAOHVe3uUTA="


def config_of(number: int) -> OverlayConfig:
    return OverlayConfig(
        interface="wg0",
        ipv6=f"fd77:7::{number}",
        ipv4=f"10.77.0.{number}",
        listen_port=51820,
        bridge="br0",
        ipv6_subnet=WORKLOADS_V6,
        ipv4_subnet=WORKLOADS_V4,
    )


def wait_for(call: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(call, backend="trio")


# ---------------------------------------------------------------- both adapters


@define
class Subject:
    overlay: Overlay
    places: Callable[[], Mapping[str, str]]
    """Address -> key of the peer that has it, as this machine would send now."""


@pytest.fixture(params=["fake", pytest.param("wireguard", marks=pytest.mark.real)])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "fake":
        fake = FakeOverlay(KEY_A)
        yield Subject(fake, lambda: {address: key for address, key in fake.places().items() if key})
        return
    need("wg", "ip", "unshare", "nsenter", "setpriv", "sysctl")
    with machine() as host:
        yield Subject(WireGuard(tmp_path / "key", SystemClock(), prefix=host.prefix), lambda: allowed(host))


def allowed(host: NetworkNamespace) -> Mapping[str, str]:
    lines = (line.split() for line in host.run("wg", "show", "wg0", "allowed-ips").splitlines())
    return {prefix.split("/")[0]: key for key, *prefixes in lines for prefix in prefixes if prefix != "(none)"}


def two_peers(first: frozenset[str], second: frozenset[str], local: frozenset[str] = frozenset()) -> OverlayState:
    return OverlayState(
        peers=(OverlayPeer(KEY_A, "192.0.2.1:51820", first), OverlayPeer(KEY_B, "[2001:db8::2]:51820", second)),
        local=local,
    )


def test_the_public_key_stays_the_same(subject: Subject) -> None:
    assert wait_for(subject.overlay.public_key) == wait_for(subject.overlay.public_key)


def test_up_twice_is_done_and_shows_no_peer(subject: Subject) -> None:
    async def main() -> None:
        await subject.overlay.up(config_of(1))
        await subject.overlay.up(config_of(1))
        assert not await subject.overlay.status()

    wait_for(main)


def test_the_peers_are_those_of_the_last_state(subject: Subject) -> None:
    async def main() -> None:
        await subject.overlay.up(config_of(1))
        await subject.overlay.apply(two_peers(DB, WEB))
        assert {peer.public_key for peer in await subject.overlay.status()} == {KEY_A, KEY_B}
        assert {peer.handshake_age_s for peer in await subject.overlay.status()} == {None}
        await subject.overlay.apply(OverlayState(peers=two_peers(DB, WEB).peers[1:], local=frozenset()))
        assert [peer.public_key for peer in await subject.overlay.status()] == [KEY_B]

    wait_for(main)
    assert subject.places() == dict.fromkeys(WEB, KEY_B)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (two_peers(DB, WEB), {**dict.fromkeys(DB, KEY_A), **dict.fromkeys(WEB, KEY_B)}),
        (two_peers(frozenset(), DB | WEB), dict.fromkeys(DB | WEB, KEY_B)),
        (two_peers(DB | WEB, frozenset()), dict.fromkeys(DB | WEB, KEY_A)),
        (two_peers(DB | WEB, DB), {**dict.fromkeys(WEB, KEY_A), **dict.fromkeys(DB, KEY_B)}),
        (two_peers(DB, WEB, local=DB), dict.fromkeys(WEB, KEY_B)),
        (two_peers(frozenset(), frozenset()), {}),
    ],
    ids=["apart", "moved there", "moved back", "claimed by both", "claimed here", "gone"],
)
def test_an_address_is_in_one_place(subject: Subject, state: OverlayState, expected: Mapping[str, str]) -> None:
    async def main() -> None:
        await subject.overlay.up(config_of(1))
        await subject.overlay.apply(two_peers(DB, WEB))
        await subject.overlay.apply(state)
        await subject.overlay.apply(state)

    wait_for(main)
    assert subject.places() == expected


# ---------------------------------------------------------------- packets


class Machine:
    """A machine of the rig: its namespace, its driver, and the containers that are plugged into its bridge."""

    def __init__(self, number: int, namespace: NetworkNamespace, folder: Path) -> None:
        self.number = number
        self.namespace = namespace
        self.config = config_of(number)
        self.overlay = WireGuard(folder / f"key-{number}", SystemClock(), prefix=namespace.prefix)
        self.containers: dict[frozenset[str], tuple[NetworkNamespace, ExitStack]] = {}

    @property
    def own(self) -> frozenset[str]:
        return frozenset({self.config.ipv6, self.config.ipv4})

    def make_bridge(self) -> None:
        """As Docker makes it: the same gateway addresses on every machine."""
        self.namespace.ip(
            "link add br0 type bridge",
            "link set br0 mtu 1420 up",
            "addr add 10.78.0.1/16 dev br0",
            "addr add fd77:7:0:1::1/64 dev br0 nodad",
        )

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
            *(
                f"addr add {each}/64 dev eth0 nodad" if ":" in each else f"addr add {each}/16 dev eth0"
                for each in addresses
            ),
            "route add default via 10.78.0.1",
            "route add default via fd77:7:0:1::1",
        )
        return container

    def stop(self, addresses: frozenset[str]) -> None:
        """It is gone when this returns: its port with it, as when Docker removed it."""
        container, stack = self.containers.pop(addresses)
        self.namespace.ip(f"link del veth{container.pid}")
        stack.close()


class Rig:
    """Three machines on a switch. `where` says who holds which container's addresses; `follow` tells the machines."""

    def __init__(self, machines: list[Machine]) -> None:
        self.machines = machines
        self.where: dict[frozenset[str], Machine] = {}

    def state_for(self, viewer: Machine) -> OverlayState:
        held = {each: each.own.union(*(a for a, at in self.where.items() if at is each)) for each in self.machines}
        return OverlayState(
            peers=tuple(
                OverlayPeer(wait_for(each.overlay.public_key), f"192.0.2.{each.number}:51820", held[each])
                for each in self.machines
                if each is not viewer
            ),
            local=held[viewer] - viewer.own,
        )

    def follow(self, *machines: Machine) -> None:
        for each in machines or self.machines:
            state = self.state_for(each)
            wait_for(lambda each=each, state=state: each.overlay.apply(state))  # type: ignore[misc]

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


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    need("wg", "ip", "ping", "unshare", "nsenter", "setpriv", "sysctl", "iptables", "ip6tables")
    with ExitStack() as stack:
        switch = stack.enter_context(network())
        switch.ip("link add sw0 type bridge", "link set sw0 up")
        machines = [Machine(number, stack.enter_context(machine()), tmp_path) for number in (1, 2, 3)]
        for each in machines:
            pid = each.namespace.pid
            switch.ip(
                f"link add m{each.number} type veth peer name eth0 netns {pid}",
                f"link set m{each.number} master sw0 up",
            )
            each.namespace.ip(f"addr add 192.0.2.{each.number}/24 dev eth0", "link set eth0 up")
            each.make_bridge()
            wait_for(lambda each=each: each.overlay.up(each.config))  # type: ignore[misc]
        made = Rig(machines)
        yield made
        for each in machines:
            for _, container in list(each.containers.values()):
                container.close()


def assert_reachable_from_everywhere(rig: Rig, addresses: frozenset[str]) -> None:
    for each in rig.machines:
        for address in addresses:
            assert each.namespace.reaches(address), f"the host of machine {each.number} does not reach {address}"
            for container, _ in each.containers.values():
                assert container.reaches(address), f"a container on machine {each.number} does not reach {address}"


@pytest.mark.real
def test_an_address_stays_reachable_from_everywhere_when_it_moves_there_and_back(rig: Rig) -> None:
    first, second, third = rig.machines
    rig.place(DB, first)
    rig.place(WEB, third)
    rig.place(NEIGHBOUR, first)  # on the source's own bridge: it has spoken with the container that moves away
    rig.follow()
    assert_reachable_from_everywhere(rig, DB)
    rig.move(DB, second)
    assert_reachable_from_everywhere(rig, DB)
    rig.move(DB, first)
    assert_reachable_from_everywhere(rig, DB)
    rig.move(DB, third)
    assert_reachable_from_everywhere(rig, DB | WEB | NEIGHBOUR)


@pytest.mark.real
def test_containers_see_each_other_under_their_own_addresses(rig: Rig) -> None:
    first, second, _ = rig.machines
    for each in (first, second):
        for program in ("iptables", "ip6tables"):
            each.namespace.run(program, "-N", "DOCKER-USER")
            each.namespace.run(program, "-A", "FORWARD", "-j", "DOCKER-USER")
            each.namespace.run(program, "-P", "FORWARD", "DROP")
        wait_for(lambda each=each: each.overlay.up(each.config))  # type: ignore[misc]
    db = rig.place(DB, first)
    web = rig.place(WEB, second)
    rig.follow()
    for program, sources in (("iptables", WEB), ("ip6tables", WEB)):
        of_family = next(each for each in sources if (":" in each) == (program == "ip6tables"))
        db.run(program, "-P", "INPUT", "DROP")
        db.run(program, "-A", "INPUT", "-s", of_family, "-j", "ACCEPT")
    if True:
        db.run("ip6tables", "-A", "INPUT", "-p", "icmpv6", "--icmpv6-type", "neighbor-advertisement", "-j", "ACCEPT")
        db.run("ip6tables", "-A", "INPUT", "-p", "icmpv6", "--icmpv6-type", "neighbor-solicitation", "-j", "ACCEPT")
    assert all(web.reaches(address) for address in DB)
    assert not any(first.namespace.try_("ping", "-n", "-c", "1", "-W", "1", address).returncode == 0 for address in DB)


@pytest.mark.real
def test_a_state_that_holds_already_is_not_written_again(rig: Rig) -> None:
    first = rig.machines[0]
    rig.place(DB, rig.machines[1])
    rig.follow()
    rig.follow()
    seen = wait_for(lambda: Commands(first.namespace.prefix).look(first.config))
    assert seen is not None
    assert changes(first.config, rig.state_for(first), *seen, now_s=0) == Changes()
