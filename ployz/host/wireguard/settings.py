"""What a machine needs once, before any peer: the interface's addresses, the kernel's switches, the firewall's rules.

Pure: each function returns words for `ip`, `sysctl` or `iptables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

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


@frozen
class Rule:
    """One firewall rule, in the words of iptables."""

    program: str
    table: str
    chain: str
    words: tuple[str, ...]

    def argv(self, verb: str) -> Sequence[str]:
        """`verb`: `-C` (is it there?), `-I` (put it first)."""
        return (self.program, "-w", "-t", self.table, verb, self.chain, *self.words)


DOCKER_CHAIN = "DOCKER-USER"
"""Docker drops what is forwarded to its bridges from elsewhere, and asks this chain first."""


def accept_rules(program: str, config: OverlayConfig) -> tuple[Rule, ...]:
    """Between the overlay and the bridge, both ways, for the chain that Docker leaves to its users."""
    inward = ("-i", config.interface, "-o", config.bridge, "-j", "ACCEPT")
    outward = ("-i", config.bridge, "-o", config.interface, "-j", "ACCEPT")
    return tuple(Rule(program, "filter", DOCKER_CHAIN, words) for words in (inward, outward))


def masquerade_rule(config: OverlayConfig) -> Rule:
    """Containers reach the outside under this host's IPv4 address, but each other under their own.

    Docker's own masquerading (off for this network) would also hide them from each other across the overlay.
    """
    subnet = config.ipv4_subnet
    words = ("-s", subnet, "!", "-d", subnet, "!", "-o", config.interface, "-j", "MASQUERADE")
    return Rule("iptables", "nat", "POSTROUTING", words)
