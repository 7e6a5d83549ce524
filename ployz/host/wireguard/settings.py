"""What a machine needs once, before any peer: the interface's addresses and the kernel's switches.

Pure: each function returns words for `ip` or `sysctl`. The firewall is in rules.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ployz.host.ports import OverlayConfig
from ployz.host.wireguard.changes import canonical
from ployz.host.wireguard.observed import ObservedLink


def interface_lines(config: OverlayConfig, link: ObservedLink) -> tuple[str, ...]:
    """Lines for `ip -batch -`; none when the interface is as it must be."""
    wanted = {f"{canonical(config.ipv6)}/128": " nodad", f"{canonical(config.ipv4)}/32": ""}
    lines = [f"addr del {address} dev {config.interface}" for address in sorted(link.addresses - wanted.keys())]
    lines += [
        f"addr add {address} dev {config.interface}{option}"
        for address, option in wanted.items()
        if address not in link.addresses
    ]
    if link.mtu != config.mtu:
        lines.append(f"link set dev {config.interface} mtu {config.mtu}")
    if not link.up:
        # No link-local address: WireGuard carries no multicast, so there is nobody to use it with.
        lines.append(f"link set dev {config.interface} addrgenmode none up")
    return tuple(lines)


FORWARDING: Mapping[str, str] = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}


def bridge_switches(bridge: str) -> Mapping[str, str]:
    """The host answers on the bridge for addresses that live elsewhere, and at once.

    The kernel delays a proxied answer by a random time up to `proxy_delay`, 0.8 s as it comes: meant for many
    proxies on one wire, where the owner should win. This wire has one proxy, and no owner.
    """
    return {
        f"net/ipv4/conf/{bridge}/proxy_arp": "1",
        f"net/ipv4/neigh/{bridge}/proxy_delay": "0",
        f"net/ipv6/conf/{bridge}/proxy_ndp": "1",
        f"net/ipv6/neigh/{bridge}/proxy_delay": "0",
    }


def undoubted_lines(bridge: str, tentative: Iterable[str]) -> tuple[str, ...]:
    """Lines for `ip -batch -` that give the bridge its addresses without a search for duplicates.

    Docker's wait for a carrier, which the machine's first container brings: only then would the search begin, and for
    up to two seconds the host could not ask who has that container's address. Every machine has these on purpose.
    """
    return tuple(
        line
        for address in tentative
        for line in (f"addr del {address} dev {bridge}", f"addr add {address} dev {bridge} nodad")
    )
