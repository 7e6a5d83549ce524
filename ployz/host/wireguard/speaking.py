"""Each port of the bridge speaks for its own container alone: its hardware address, its IPv4, also in ARP, and its
IPv6, also in neighbour discovery; and never as router or DHCP server.

Neighbours believe whatever they are told (RFC 826; RFC 4861, 11.1), so that one container could take the traffic of
another, here and of other machines. It may have NET_ADMIN, and change its own addresses: only the port that it is
plugged into says who it is. Pure: which port is whose, and text for `nft -f -`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv6Address
from typing import Final

from attrs import frozen

from ployz.host.ports import OverlayConfig, Station, hardware_address
from ployz.host.wireguard.observed import Plug

TABLE: Final = "ployz_bridge"
FAMILY: Final = "bridge"
PRIORITY: Final = -290
"""After what hides networks that were made ahead (doors)."""
_TARGET: Final = "@th,64,128"
"""Of a neighbour solicitation or advertisement: whom it is about (RFC 4861, 4.3 and 4.4)."""


@frozen
class Seating:
    """Which port is whose. `seats`: by the port's name, with the plug that was in it when that was found out."""

    seats: Mapping[str, tuple[Plug, Station]]
    strangers: frozenset[str] = frozenset()
    """Ports of which nobody said whose they are."""


def kept(before: Seating, plugs: Mapping[str, Plug], stations: Collection[Station]) -> Seating:
    """What still holds. The kernel numbers no two interfaces alike, so that a name that returns is found out."""
    here = {each.ipv4: each for each in stations}
    seats = {
        name: (plug, here[station.ipv4])
        for name, (plug, station) in before.seats.items()
        if plugs.get(name) == plug and station.ipv4 in here
    }
    return Seating(seats, frozenset(plugs.keys() - seats.keys()))


def standing(seating: Seating, stations: Collection[Station]) -> list[Station]:
    """Those without a port, in order."""
    seated = {station.ipv4 for _, station in seating.seats.values()}
    return sorted(each for each in stations if each.ipv4 not in seated)


def seated(
    seating: Seating, plugs: Mapping[str, Plug], stations: Collection[Station], networks: Mapping[int, int]
) -> Seating:
    """`networks`: of each process the number under which this host's kernel knows its network. A port says in
    which network its other end is.
    """
    by_network = {networks[each.process]: each for each in standing(seating, stations) if each.process in networks}
    found = {
        name: (plugs[name], by_network[network])
        for name in seating.strangers
        if (network := plugs[name].network) is not None and network in by_network
    }
    return Seating({**seating.seats, **found}, seating.strangers - found.keys())


def speaking_script(config: OverlayConfig, seating: Seating, stations: Collection[Station]) -> str:
    """Replaces what there is. Who has no port yet is known by the hardware address, so that the first packet of a
    container need not wait; one that has is known by its port alone.
    """
    return "".join(f"{line}\n" for line in _lines(config, seating, stations))


def _lines(config: OverlayConfig, seating: Seating, stations: Collection[Station]) -> Iterator[str]:
    yield f"add table {FAMILY} {TABLE}"
    yield f"delete table {FAMILY} {TABLE}"
    yield f"add table {FAMILY} {TABLE}"
    yield from _chain("manners4", "udp sport 67 drop", "icmp type { redirect, router-advertisement } drop", "accept")
    yield from _chain("manners6", "udp sport 547 drop", "icmpv6 type { nd-router-advert, nd-redirect } drop", "accept")
    for each in sorted(stations):
        yield from _chain(_name(each), *_rules(each))
    unseated = ", ".join(f"{hardware_address(each.ipv4)} : goto {_name(each)}" for each in standing(seating, stations))
    yield from _chain("unseated", *((f"ether saddr vmap {{ {unseated} }}",) if unseated else ()), "drop")
    ports = {name: _name(station) for name, (_, station) in seating.seats.items()}
    ports.update(dict.fromkeys(seating.strangers, "unseated"))
    verdicts = ", ".join(f'"{name}" : goto {chain}' for name, chain in sorted(ports.items()))
    yield f"add chain {FAMILY} {TABLE} heard {{ type filter hook prerouting priority {PRIORITY}; }}"
    # The host has other bridges, and not every kernel tells of which one a port is: what is not known to be a port of
    # this one is only kept from speaking for a workload.
    for rule in (
        *((f"iifname vmap {{ {verdicts} }}",) if verdicts else ()),
        f"ip saddr {config.ipv4_subnet} goto unseated",
        f"arp saddr ip {config.ipv4_subnet} goto unseated",
        f"ip6 saddr {config.ipv6_subnet} goto unseated",
    ):
        yield f"add rule {FAMILY} {TABLE} heard {rule}"


def _rules(station: Station) -> Iterator[str]:
    """IPv6 goes by its own two addresses. Without one it may look whether one of these is taken, join groups, and ask
    for routers (RFC 4862, 5.4.2; RFC 3810, 5.2.13; RFC 4861, 4.1).
    """
    mac, link_local = hardware_address(station.ipv4), _link_local(station.ipv4)
    own = f"{{ {station.ipv6}, {link_local} }}"
    targets = f"{{ {_hex(station.ipv6)}, {_hex(link_local)} }}"
    yield f"ether saddr != {mac} drop"
    yield f"ip saddr {station.ipv4} goto manners4"
    yield f"icmpv6 type nd-neighbor-advert {_TARGET} != {targets} drop"
    yield f"ip6 saddr {own} goto manners6"
    yield f"ip6 saddr :: icmpv6 type nd-neighbor-solicit {_TARGET} {targets} accept"
    yield "ip6 saddr :: icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept"
    yield "ip6 saddr :: icmpv6 type nd-router-solicit accept"
    yield f"arp saddr ether {mac} arp saddr ip {station.ipv4} accept"
    yield "drop"


def _chain(name: str, *rules: str) -> Iterator[str]:
    yield f"add chain {FAMILY} {TABLE} {name}"
    yield from (f"add rule {FAMILY} {TABLE} {name} {rule}" for rule in rules)


def _name(station: Station) -> str:
    return f"as_{station.ipv4.replace('.', '_')}"


def _link_local(ipv4: str) -> str:
    """What Linux makes of the hardware address (RFC 4291, appendix A)."""
    mac = bytes.fromhex(hardware_address(ipv4).replace(":", ""))
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]))


def _hex(address: str) -> str:
    return f"{int(IPv6Address(address)):#034x}"
