"""What `wg` and `ip` report, parsed into one value: the overlay as this machine's kernel has it now.

Pure. The private key in the first line of a dump is left where it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

_HOST_SUFFIX = {True: "/128", False: "/32"}


@frozen
class ObservedPeer:
    endpoint: str
    """Empty: none known. WireGuard follows a peer that roams, so this may be newer than what it was told."""
    addresses: frozenset[str]
    """Its allowed IPs: single addresses without their prefix length, anything wider with it."""
    handshake_at_s: int
    """Wall time of the last one; 0: never."""
    received_bytes: int
    sent_bytes: int
    keepalive_s: int
    """0: off."""


@frozen
class ObservedDevice:
    """One `wg show IFACE dump`."""

    public_key: str
    """Empty: it has no key yet."""
    listen_port: int
    peers: Mapping[str, ObservedPeer]


@frozen
class Plug:
    """What is in a port of the bridge."""

    index: int
    network: int | None
    """In which network its other end is, by this host's number for it."""


@frozen
class ObservedPaths:
    """Routes through the interface, proxy neighbours on the bridge, and the bridge itself."""

    routes: Mapping[str, str] = field(factory=dict)
    """Single address -> source address, which is empty if the route has none. Wider routes are none of ours."""
    mtus: Mapping[str, int] = field(factory=dict)
    """Of those routes that have one of their own."""
    proxies: frozenset[str] = frozenset()
    bridge_index: int | None = None
    """None: there is no bridge (yet). A bridge that was made anew has another index, and lost its settings."""
    plugs: Mapping[str, Plug] = field(factory=dict)
    """By the name of the bridge's port."""


@frozen
class ObservedLink:
    """The interface without its peers."""

    mtu: int
    up: bool
    addresses: frozenset[str]
    """With prefix length, without link-local ones."""
    is_local: bool = False
    """It has a link-local IPv6 address. Looked for on the bridge alone."""


def parse_dump(text: str) -> ObservedDevice:
    first, *rest = text.splitlines()
    _private_key, public_key, listen_port, _firewall_mark = first.split("\t")
    return ObservedDevice(
        public_key="" if public_key == "(none)" else public_key,
        listen_port=int(listen_port),
        peers=dict(_peer(line) for line in rest),
    )


def _peer(line: str) -> tuple[str, ObservedPeer]:
    key, _preshared, endpoint, allowed, handshake, received, sent, keepalive = line.split("\t")
    return key, ObservedPeer(
        endpoint="" if endpoint == "(none)" else endpoint,
        addresses=frozenset() if allowed == "(none)" else frozenset(map(_bare, allowed.split(","))),
        handshake_at_s=int(handshake),
        received_bytes=int(received),
        sent_bytes=int(sent),
        keepalive_s=0 if keepalive == "off" else int(keepalive),
    )


def parse_paths(texts: list[str], bridge: str) -> ObservedPaths:
    """From `ip -j -batch`: one JSON list a command, in which each entry shows by its keys what it is."""
    routes: dict[str, str] = {}
    mtus: dict[str, int] = {}
    proxies: set[str] = set()
    bridge_index: int | None = None
    plugs: dict[str, Plug] = {}
    for entry in (entry for text in texts for entry in _entries(text)):
        if "proxy" in entry:
            if entry.get("dev") == bridge:
                proxies.add(entry["dst"])
        elif "dst" in entry:
            own_of_interface = entry.get("protocol") == "kernel"
            if not own_of_interface and "/" not in entry["dst"] and entry["dst"] != "default":
                routes[entry["dst"]] = entry.get("prefsrc", "")
                mtus.update((entry["dst"], each["mtu"]) for each in entry.get("metrics", ()) if "mtu" in each)
        elif entry.get("ifname") == bridge:
            bridge_index = entry["ifindex"]
        elif entry.get("master") == bridge:
            plugs[entry["ifname"]] = Plug(entry["ifindex"], entry.get("link_netnsid"))
    return ObservedPaths(routes, mtus, frozenset(proxies), bridge_index, plugs)


def parse_uplinks(text: str) -> list[str]:
    """From `ip -j -6 route show default`: the interfaces that the routes leave by."""
    return sorted({entry["dev"] for entry in _entries(text) if "dev" in entry})


def parse_link(text: str) -> ObservedLink:
    """From `ip -j addr show dev IFACE`."""
    entry = next(entry for entry in _entries(text) if "ifname" in entry)
    return ObservedLink(
        mtu=entry["mtu"],
        up="UP" in entry["flags"],
        addresses=frozenset(
            f"{address['local']}/{address['prefixlen']}" for address in entry["addr_info"] if address["scope"] != "link"
        ),
    )


def parse_addresses(text: str) -> list[str]:
    """From `ip -j addr show`, with prefix length. iproute2 6.1 may show an address that a filter leaves out as `{}`."""
    return [
        f"{address['local']}/{address['prefixlen']}"
        for entry in _entries(text)
        for address in entry.get("addr_info", [])
        if address
    ]


def _bare(prefix: str) -> str:
    """`10.0.0.1/32` -> `10.0.0.1`; what is wider than one address stays as it is."""
    return prefix.removesuffix(_HOST_SUFFIX[":" in prefix])


def _entries(text: str) -> list[dict[str, Any]]:
    return [entry for line in text.splitlines() if line for entry in json.loads(line)]
