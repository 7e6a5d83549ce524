"""What others changed of the overlay since it was made: one look at the kernel against what should be. Pure.

Kinds are what is put back together: `interface`, `peers`, `routes`, `bridge`, `switches`, `rules`, `doors`; and
`ports`, `stations` and `reach`, which the driver compares with what the kernel printed of them at first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from ployz.host.ports import OverlayConfig, OverlayState
from ployz.host.wireguard import rules
from ployz.host.wireguard.changes import canonical, changes
from ployz.host.wireguard.observed import ObservedDevice, ObservedLink, ObservedPaths
from ployz.host.wireguard.settings import FORWARDING, bridge_switches, interface_lines

SWITCHES: Final = "/proc/sys/"


@frozen
class Seen:
    """The kernel's word, read at once."""

    device: ObservedDevice
    paths: ObservedPaths
    links: Mapping[str, ObservedLink]
    """By name, the overlay's interface and the bridge."""
    subnets: frozenset[str]
    """What is routed to the bridge as its own."""
    switches: Mapping[str, str]
    saved: Mapping[str, str]
    """By program, what `iptables-save` prints. Without one there is no such firewall."""
    doors: frozenset[str]


def drift(config: OverlayConfig, state: OverlayState, seen: Seen) -> dict[str, tuple[str, ...]]:
    found = {
        "interface": tuple(_interface(config, seen)),
        "peers": tuple(_peers(config, state, seen)),
        "routes": changes(config, state, seen.device, seen.paths, now_s=0).ip,
        "bridge": bridge_lines(config, seen) if seen.paths.bridge_index is not None else (),
        "switches": tuple(
            f"{key} is {seen.switches.get(key, 'unknown')}"
            for key, value in switches_of(config, seen.paths).items()
            if seen.switches.get(key) != value
        ),
        "rules": ()
        if seen.paths.bridge_index is None
        else tuple(each for program, saved in seen.saved.items() for each in rules.missing(program, config, saved)),
        "doors": tuple(sorted({canonical(each) for each in state.closed | state.hidden} - seen.doors)),
    }
    return {kind: words for kind, words in found.items() if words}


def _interface(config: OverlayConfig, seen: Seen) -> Iterator[str]:
    if seen.device.listen_port != config.listen_port:
        yield f"it listens on {seen.device.listen_port}"
    link = seen.links.get(config.interface)
    yield from interface_lines(config, link) if link else ("it is not there",)


def _peers(config: OverlayConfig, state: OverlayState, seen: Seen) -> Iterator[str]:
    """Where a peer roams to is its own: endpoints are compared of none that is known."""
    for peer in state.peers:
        there = seen.device.peers.get(peer.public_key)
        alone = evolve(state, peers=(peer,))
        if there is None:
            yield f"{peer.endpoint} is missing"
        elif changes(config, alone, ObservedDevice("", 0, {peer.public_key: there}), seen.paths, now_s=0).wg:
            yield f"{peer.endpoint} is changed"
    if seen.device.peers.keys() - {peer.public_key for peer in state.peers}:
        yield "there is one that is none of the cluster's"


def switches_of(config: OverlayConfig, paths: ObservedPaths) -> dict[str, str]:
    return {**FORWARDING, **(bridge_switches(config.bridge) if paths.bridge_index is not None else {})}


def bridge_lines(config: OverlayConfig, seen: Seen) -> tuple[str, ...]:
    """Lines for `ip -batch -` that give the bridge back what Docker gave it: addresses, routes, and that it is up.

    Without a link-local address the host could not ask who on the bridge has an IPv6 address.
    """
    return tuple(_bridge_lines(config, seen))


def _bridge_lines(config: OverlayConfig, seen: Seen) -> Iterator[str]:
    bridge, link = config.bridge, seen.links.get(config.bridge)
    if link is None or not config.gateways:
        return
    if not link.up:
        yield f"link set dev {bridge} up"
    local = () if link.is_local else ("fe80::1/64",)
    for address in (*config.gateways, *local):
        if address not in link.addresses:
            yield f"addr add {address} dev {bridge}{' nodad' if ':' in address else ''}"
    for subnet, gateway in ((config.ipv4_subnet, config.gateways[-1]), (config.ipv6_subnet, config.gateways[0])):
        if subnet not in seen.subnets:
            source = f" scope link src {gateway.partition('/')[0]}" if ":" not in subnet else " metric 256"
            yield f"route replace {subnet} dev {bridge} proto kernel{source}"


def parse_links(text: str) -> dict[str, ObservedLink]:
    """From `ip -j addr show`."""
    return {
        entry["ifname"]: ObservedLink(
            mtu=entry["mtu"],
            up="UP" in entry["flags"],
            addresses=frozenset(
                f"{canonical(each['local'])}/{each['prefixlen']}"
                for each in entry["addr_info"]
                if each and each["scope"] != "link"
            ),
            is_local=any(each.get("scope") == "link" and each["family"] == "inet6" for each in entry["addr_info"]),
        )
        for entry in _entries(text)
        if "ifname" in entry
    }


def parse_switches(text: str) -> dict[str, str]:
    """From `grep -H . /proc/sys/…`."""
    pairs = (line.removeprefix(SWITCHES).partition(":") for line in text.splitlines())
    return {key: value for key, _, value in pairs}


def parse_subnets(texts: list[str], bridge: str) -> frozenset[str]:
    """From `ip -j route show` of each family."""
    return frozenset(
        entry["dst"] for text in texts for entry in _entries(text) if entry.get("dev") == bridge and "/" in entry["dst"]
    )


def _entries(text: str) -> list[dict[str, Any]]:
    return [entry for line in text.splitlines() if line for entry in json.loads(line)]
