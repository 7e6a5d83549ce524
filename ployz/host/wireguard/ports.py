"""What of this machine is reached from where: its overlay addresses by the overlay alone, its ports by machines.

A container is on the overlay as every machine is, so an address says little; but what comes over a bridge, or from a
workload's address, is never a machine: it reaches names, what a gateway serves and what services publish, and no other
port of the host, which a firewall may guard on every other interface. And Linux answers for each of its addresses on
every interface (RFC 1122, 3.3.4.2: the weak host model): what comes for the overlay's by another way has been through
no WireGuard. With them, in one table that is looked at again, is what sizes.py has to say. Pure: text for `nft -f -`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from ployz.host.ports import Offer, OverlayConfig
from ployz.host.wireguard.sizes import segment_lines

TABLE: Final = "ployz_ports"
"""Apart from the doors, which are replaced all the time."""
NAMES_PORT: Final = 53


def ports_script(config: OverlayConfig, offered: Collection[Offer] = ()) -> str:
    """Replaces what there is. Refused at once, and not dropped: who knocks by mistake need not wait.

    `offered`: beside names. Never what is for machines.
    """
    return "".join(f"{line}\n" for line in _lines(config, offered))


def _lines(config: OverlayConfig, offered: Collection[Offer]) -> Iterator[str]:
    yield f"add table inet {TABLE}"
    yield f"delete table inet {TABLE}"
    yield f"add table inet {TABLE}"
    yield f"add chain inet {TABLE} input {{ type filter hook input priority -10; }}"
    yield from segment_lines(config, TABLE)
    yield from _only_by_the_overlay(config)
    yield f"add chain inet {TABLE} containers"
    yield from (f"add rule inet {TABLE} containers {rule}" for rule in _of_containers(config, offered))
    for whose in (
        f'iifname "{config.bridge}"',
        f"ip saddr {config.ipv4_subnet}",
        f"ip6 saddr {config.ipv6_subnet}",
    ):
        yield f"add rule inet {TABLE} input {whose} goto containers"


def _of_containers(config: OverlayConfig, offered: Collection[Offer]) -> Iterator[str]:
    """What the machine itself began is answered; neighbours are found, and `ping` is (RFC 4890, 4.4)."""
    if config.machine_ports:
        ports = ", ".join(map(str, sorted(config.machine_ports)))
        yield f"tcp dport {{ {ports} }} reject with tcp reset"
    yield "ct state established,related accept"
    yield "meta l4proto { icmp, ipv6-icmp, igmp } accept"
    for protocol in ("tcp", "udp"):
        everywhere = {each.port for each in offered if each.protocol == protocol and not each.address}
        yield f"{protocol} dport {{ {', '.join(map(str, sorted({NAMES_PORT, *everywhere})))} }} accept"
    for each in sorted(offered):
        if each.address:
            family = "ip6" if ":" in each.address else "ip"
            yield f"{family} daddr {each.address} {each.protocol} dport {each.port} accept"
    yield "meta l4proto tcp reject with tcp reset"
    yield "reject with icmpx type port-unreachable"


def _only_by_the_overlay(config: OverlayConfig) -> Iterator[str]:
    """Dropped, as where nobody has the address."""
    own = (config.ipv4, config.ipv6, *(each.partition("/")[0] for each in config.gateways))
    for family, addresses in (
        ("ip", [each for each in own if ":" not in each]),
        ("ip6", [each for each in own if ":" in each]),
    ):
        inside = f'{{ "lo", "{config.interface}", "{config.bridge}" }}'
        yield f"add rule inet {TABLE} input iifname != {inside} {family} daddr {{ {', '.join(addresses)} }} drop"
