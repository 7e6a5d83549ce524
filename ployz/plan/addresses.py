"""Overlay addresses: which a machine has, which a new slot gets, and where each is right now.

Machines live in subnet 0 of the cluster's /48 and slots in subnet 1. A slot's IPv4 and IPv6 addresses end in the same
number, which is taken once for the slot's life (fly postgres-flex 186: a changed address breaks clusters).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Final, Self

from attrs import evolve, frozen

from ployz.events.types import ClusterFounded
from ployz.host.ports import BridgeNetwork, OverlayPeer, OverlayState, PeerStatus, Station
from ployz.ids import MTU_MAX, MachineId, SlotRef
from ployz.projections.machines import Member
from ployz.projections.view import ClusterView

SESSION_S: Final = 180.0
"""WireGuard's REJECT_AFTER_TIME: what has shaken hands longer ago carries nothing."""
FIRST_SLOT_NUMBER: Final = 16
"""Below it: the gateway, and room for what the cluster itself may need."""
BRIDGE_NETWORK_NAME: Final = "ployz"


@frozen
class Subnets:
    """The cluster's address plan."""

    machines_ipv6: IPv6Network
    workloads_ipv6: IPv6Network
    machines_ipv4: IPv4Network
    workloads_ipv4: IPv4Network

    @classmethod
    def of(cls, ipv6_prefix: str, machine_ipv4_subnet: str, workload_ipv4_subnet: str) -> Self:
        machines, workloads = _first_two(IPv6Network(ipv6_prefix))
        return cls(machines, workloads, IPv4Network(machine_ipv4_subnet), IPv4Network(workload_ipv4_subnet))

    @classmethod
    def of_cluster(cls, cluster: ClusterFounded) -> Self:
        return cls.of(cluster.ipv6_prefix, cluster.machine_ipv4_subnet, cluster.workload_ipv4_subnet)

    def machine(self, number: int) -> tuple[str, str]:
        """(IPv6, IPv4) of machine `number`, counted from 1."""
        return str(self.machines_ipv6[number]), str(self.machines_ipv4[number])

    def slot(self, number: int) -> tuple[str, str]:
        return str(self.workloads_ipv6[number]), str(self.workloads_ipv4[number])

    @property
    def gateway(self) -> tuple[str, str]:
        """Of the bridge, the same on every machine."""
        return self.slot(1)

    def bridge(self, interface: str) -> BridgeNetwork:
        gateway_ipv6, gateway_ipv4 = self.gateway
        return BridgeNetwork(
            name=BRIDGE_NETWORK_NAME,
            bridge=interface,
            ipv6_subnet=str(self.workloads_ipv6),
            ipv6_gateway=gateway_ipv6,
            ipv4_subnet=str(self.workloads_ipv4),
            ipv4_gateway=gateway_ipv4,
        )


def unique_local_prefix(entropy: bytes) -> str:
    """A /48 from 5 random bytes (RFC 4193, section 3.2)."""
    return str(IPv6Network((bytes([0xFD, *entropy[:5]]) + bytes(10), 48)))


def new_addresses(view: ClusterView, subnets: Subnets, slots: Iterable[SlotRef]) -> dict[SlotRef, tuple[str, str]]:
    """(IPv6, IPv4) for each of these new slots; a slot is left out when no number is free any more.

    The search begins at a number that the slot's name gives: two deploys at once rarely want the same address, which
    one of them would only learn when it commits, and a service that was removed finds its old address again.
    """
    first_address = int(subnets.workloads_ipv4.network_address)
    taken = {int(IPv4Address(slot.ipv4)) - first_address for _, slot in view.placement.slots()}
    count = subnets.workloads_ipv4.num_addresses - 1 - FIRST_SLOT_NUMBER
    given: dict[SlotRef, tuple[str, str]] = {}
    for slot in slots:
        start = int.from_bytes(sha256(str(slot).encode()).digest()[:8], "big")
        numbers = (FIRST_SLOT_NUMBER + (start + step) % count for step in range(count))
        number = next((each for each in numbers if each not in taken), None)
        if number is None:
            break
        taken.add(number)
        given[slot] = subnets.slot(number)
    return given


def overlay_state(
    view: ClusterView,
    me: MachineId,
    claimed: Iterable[tuple[str, str]],
    withheld: Iterable[tuple[str, str]] = (),
    reserved: Iterable[tuple[str, str]] = (),
    answering: Collection[str] = (),
    plugged: Mapping[str, int] | None = None,
    ways: Mapping[str, int] = MappingProxyType({}),
) -> OverlayState:
    """Every address as `me` reaches it. `claimed`: (IPv6, IPv4) of candidates here, which no fact routes yet.

    `withheld`: those of containers here that are not committed, or never will be. They are closed while the facts have
    them on another machine: whoever writes to such an address means that one. `reserved`: those of networks that were
    made here ahead of their containers, which are hidden as long as the facts have them on another machine.
    `answering`: keys with which a machine that changes its key has been heard: from then on it has that one.
    `plugged`: of containers here, by IPv4 address, a process in the network of each. None: nobody knows yet.
    `ways`: by key, the largest packet that goes there, as the interface on the way says.
    """
    claimed, withheld, reserved = list(claimed), list(withheld), list(reserved)
    here = [(slot.ipv6, slot.ipv4) for _, slot in view.placement.slots() if slot.machine == me]
    candidates = {address for pair in claimed for address in pair}
    elsewhere = {
        address for _, slot in view.placement.slots() if slot.machine != me for address in (slot.ipv6, slot.ipv4)
    }
    others = [member for member in view.machines.in_order() if member.machine != me]
    behind = {member.machine: {member.ipv6, member.ipv4} for member in others}
    mine = view.machines.get(me)
    local = set(candidates)
    for _, slot in view.placement.slots():
        where = local if slot.machine == me else behind.get(slot.machine)
        if where is not None:  # else its machine is gone, and nobody answers there
            where |= {slot.ipv6, slot.ipv4} - candidates
    return OverlayState(
        peers=tuple(
            evolve(peer, mtu=_mtu(ways.get(peer.public_key), mine, member))
            for member in others
            for peer in _peers(member, frozenset(behind[member.machine]), answering)
        ),
        local=frozenset(local),
        closed=frozenset(elsewhere & {address for pair in withheld for address in pair}),
        hidden=frozenset(elsewhere & {ipv4 for _, ipv4 in reserved}),
        stations=None
        if plugged is None
        else frozenset(
            Station(ipv4, ipv6, plugged.get(ipv4, 0)) for ipv6, ipv4 in (*here, *claimed, *withheld, *reserved)
        ),
    )


def _peers(member: Member, addresses: frozenset[str], answering: Collection[str]) -> Iterator[OverlayPeer]:
    """One; two while its key changes, of which one has its addresses: the new one when it has been heard with it."""
    if member.next_key is None:
        yield OverlayPeer(member.public_key, member.endpoint, addresses)
        return
    has_changed = member.next_key in answering
    yield OverlayPeer(member.public_key, member.endpoint, frozenset() if has_changed else addresses)
    yield OverlayPeer(member.next_key, member.endpoint, addresses if has_changed else frozenset())


def _mtu(way: int | None, *ends: Member | None) -> int:
    """The least that is said of it: by the interface, and of either machine by an operator."""
    said = [way, *(end.settings.mtu for end in ends if end is not None)]
    return min((each for each in said if each is not None), default=MTU_MAX)


def is_sought_elsewhere(state: OverlayState, status: Iterable[PeerStatus]) -> bool:
    """A peer that is not heard is looked for where it is not said to be: that it has moved was said too early to be
    believed, while its last session lived.
    """
    said = {each.public_key: each.endpoint for each in state.peers}
    return any(
        each.endpoint != said.get(each.public_key, each.endpoint)
        for each in status
        if each.handshake_age_s is None or each.handshake_age_s > SESSION_S
    )


def machine_numbers_free(taken: Collection[int], limit: int) -> int | None:
    """The lowest free machine number up to `limit`."""
    return next((number for number in range(1, limit + 1) if number not in taken), None)


def _first_two(prefix: IPv6Network) -> tuple[IPv6Network, IPv6Network]:
    subnets = prefix.subnets(new_prefix=64)
    return next(subnets), next(subnets)
