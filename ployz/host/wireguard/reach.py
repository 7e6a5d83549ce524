"""Who reaches the containers of a namespace that is not for everybody: rules before its addresses on this machine.

Machines always do: their gateways, their looks, and whoever comes by a published port; of containers only those that
are named. What a container has asked for is answered, whoever answers. Pure: text for `nft -f -`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from ployz.host.ports import Circle, OverlayConfig

TABLE: Final = "ployz_reach"
FAMILIES: Final = ("inet", "bridge")
ASKED_S: Final = 120
"""As long as the kernel itself waits for more answers of UDP (nf_conntrack_udp_timeout_stream)."""
_ASKED_MAX: Final = 65536


def reach_script(config: OverlayConfig, circles: Iterable[Circle]) -> str:
    """Replaces what there is. Nothing to keep: no table."""
    return "".join(f"{line}\n" for line in _lines(config, sorted(each for each in circles if each.inside)))


def _lines(config: OverlayConfig, circles: list[Circle]) -> Iterator[str]:
    for family in FAMILIES:
        yield f"add table {family} {TABLE}"
        yield f"delete table {family} {TABLE}"
    if not circles:
        return
    yield from _routed(config, circles)
    yield from _bridged(config, circles)


def _routed(config: OverlayConfig, circles: list[Circle]) -> Iterator[str]:
    """From other machines; where the kernel has bridged packets pass here (br_netfilter), also on the bridge."""
    yield f"add table inet {TABLE}"
    for each in circles:
        refuse = ("meta l4proto tcp reject with tcp reset", "reject with icmpx type admin-prohibited")
        yield from _chain("inet", _name(each), *_admitted(config, each), *refuse)
    yield f"add chain inet {TABLE} forward {{ type filter hook forward priority -5; }}"
    yield f"add rule inet {TABLE} forward ct state established,related return"
    yield f"add rule inet {TABLE} forward ct status dnat return"
    yield from (f"add rule inet {TABLE} forward {each}" for each in _by_target(circles))


def _bridged(config: OverlayConfig, circles: list[Circle]) -> Iterator[str]:
    """From container to container. Not every kernel follows connections here: an opening is known by its flags, an
    answer of UDP by what was asked.
    """
    yield f"add table bridge {TABLE}"
    for ip, kind in (("ip", "ipv4_addr"), ("ip6", "ipv6_addr")):
        yield (
            f"add set bridge {TABLE} asked_{ip} {{ type {kind} . {kind} . inet_service . inet_service; "
            f"flags dynamic,timeout; timeout {ASKED_S}s; size {_ASKED_MAX}; }}"
        )
    for each in circles:
        yield from _chain(
            "bridge",
            _name(each),
            "tcp flags & (syn | ack) != syn return",
            "icmp type != echo-request return",
            "icmpv6 type != echo-request return",
            "ip daddr . ip saddr . udp dport . udp sport @asked_ip return",
            "ip6 daddr . ip6 saddr . udp dport . udp sport @asked_ip6 return",
            *_admitted(config, each),
            "drop",
        )
    yield f"add chain bridge {TABLE} forward {{ type filter hook forward priority 5; }}"
    inside = {address for each in circles for address in each.inside}
    for ip, addresses in _by_family(inside):
        asks = f"{ip} saddr {{ {addresses} }}"
        update = f"update @asked_{ip} {{ {ip} saddr . {ip} daddr . udp sport . udp dport }}"
        yield f"add rule bridge {TABLE} forward {asks} {update}"
    yield from (f"add rule bridge {TABLE} forward {each}" for each in _by_target(circles))


def _admitted(config: OverlayConfig, circle: Circle) -> Iterator[str]:
    yield f"ip saddr != {config.ipv4_subnet} return"
    yield f"ip6 saddr != {config.ipv6_subnet} return"
    for ip, addresses in _by_family(circle.admitted):
        yield f"{ip} saddr {{ {addresses} }} return"


def _by_target(circles: list[Circle]) -> Iterator[str]:
    for ip in ("ip", "ip6"):
        verdicts = ", ".join(
            f"{address} : goto {_name(each)}"
            for each in circles
            for address in sorted(each.inside)
            if (":" in address) == (ip == "ip6")
        )
        if verdicts:
            yield f"{ip} daddr vmap {{ {verdicts} }}"


def _by_family(addresses: Collection[str]) -> Iterator[tuple[str, str]]:
    for ip in ("ip", "ip6"):
        of_it = sorted(each for each in addresses if (":" in each) == (ip == "ip6"))
        if of_it:
            yield ip, ", ".join(of_it)


def _chain(family: str, name: str, *rules: str) -> Iterator[str]:
    yield f"add chain {family} {TABLE} {name}"
    yield from (f"add rule {family} {TABLE} {name} {rule}" for rule in rules)


def _name(circle: Circle) -> str:
    return f"to_{circle.namespace}"
