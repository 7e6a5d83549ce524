"""What of this machine is reached from where: its overlay addresses, and its ports for machines, by the overlay alone.

A container is on the overlay as every machine is, so an address says little; but what comes over a bridge, or from a
workload's address, is never a machine. And Linux answers for each of its addresses on every interface (RFC 1122,
3.3.4.2: the weak host model): what comes for the overlay's by another way has been through no WireGuard. With them, in
one table that is looked at again, is what sizes.py has to say. Pure: text for `nft -f -`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ployz.host.ports import OverlayConfig
from ployz.host.wireguard.sizes import segment_lines

TABLE: Final = "ployz_ports"
"""Apart from the doors, which are replaced all the time."""


def ports_script(config: OverlayConfig) -> str:
    """Replaces what there is. Refused at once, and not dropped: who knocks by mistake need not wait."""
    return "".join(f"{line}\n" for line in _lines(config))


def _lines(config: OverlayConfig) -> Iterator[str]:
    yield f"add table inet {TABLE}"
    yield f"delete table inet {TABLE}"
    yield f"add table inet {TABLE}"
    yield f"add chain inet {TABLE} input {{ type filter hook input priority -10; }}"
    yield from segment_lines(config, TABLE)
    yield from _only_by_the_overlay(config)
    if not config.machine_ports:
        return
    ports = ", ".join(map(str, sorted(config.machine_ports)))
    for whose in (
        f'iifname "{config.bridge}"',
        f"ip saddr {config.ipv4_subnet}",
        f"ip6 saddr {config.ipv6_subnet}",
    ):
        yield f"add rule inet {TABLE} input {whose} tcp dport {{ {ports} }} reject with tcp reset"


def _only_by_the_overlay(config: OverlayConfig) -> Iterator[str]:
    """Dropped, as where nobody has the address."""
    own = (config.ipv4, config.ipv6, *(each.partition("/")[0] for each in config.gateways))
    for family, addresses in (
        ("ip", [each for each in own if ":" not in each]),
        ("ip6", [each for each in own if ":" in each]),
    ):
        inside = f'{{ "lo", "{config.interface}", "{config.bridge}" }}'
        yield f"add rule inet {TABLE} input iifname != {inside} {family} daddr {{ {', '.join(addresses)} }} drop"
