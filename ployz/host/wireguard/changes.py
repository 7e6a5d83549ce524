"""What to tell `wg` and `ip` so that the kernel agrees with an OverlayState: a pure difference, as few words as do it.

An address is in one place. Local beats remote, and of two peers that claim it the later one has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network

from attrs import evolve, frozen

from ployz.host.ports import OverlayConfig, OverlayPeer, OverlayState
from ployz.host.wireguard.observed import ObservedDevice, ObservedPaths, ObservedPeer
from ployz.ids import Endpoint, WireGuardKey

KEEPALIVE_S = 25
"""Keeps address translation on the way open (RFC 4787 allows it to forget after 2 minutes, common boxes do after 30 s),
and the session warm: no handshake in the way of the first packet after a move, and an age that tells a dead peer."""

SESSION_DEAD_S = 180
"""WireGuard's own REJECT_AFTER_TIME: a handshake older than this carries nothing."""


@frozen
class Changes:
    wg: tuple[str, ...] = ()
    """Arguments after `wg set IFACE`; empty: nothing to do."""
    ip: tuple[str, ...] = ()
    """Lines for `ip -batch -`."""
    announce: tuple[str, ...] = ()
    """Addresses that the containers on the bridge must learn anew: they are behind this host from now on."""


def usable(state: OverlayState) -> OverlayState:
    """Without peers that `wg` would not take: it refuses everything that it is given together with one of them."""
    return evolve(state, peers=tuple(peer for peer in state.peers if _is_usable(peer)))


def _is_usable(peer: OverlayPeer) -> bool:
    try:
        WireGuardKey(peer.public_key)
        Endpoint(peer.endpoint)
        return all(map(canonical, peer.addresses))
    except ValueError:
        return False


def places(state: OverlayState) -> Mapping[str, str | None]:
    """Every address, in its canonical form, with the key of the peer that has it; None: it is here."""
    claimed: dict[str, str | None] = {
        canonical(address): peer.public_key for peer in state.peers for address in peer.addresses
    }
    claimed.update((canonical(address), None) for address in state.local)
    return claimed


def changes(
    config: OverlayConfig, state: OverlayState, device: ObservedDevice, paths: ObservedPaths, *, now_s: float
) -> Changes:
    """The difference between what is (`device`, `paths`) and what ought to be. `now_s` is wall time."""
    remote = {address: key for address, key in places(state).items() if key is not None}
    gone = sorted(paths.routes.keys() - remote.keys())
    narrow = {peer.public_key: peer.packet_bytes for peer in state.peers if peer.packet_bytes < config.mtu}
    mtus = {address: narrow[key] for address, key in remote.items() if key in narrow}
    come = sorted(address for address in remote if paths.routes.get(address) != _source(config, address))
    resized = sorted(address for address in remote if paths.mtus.get(address) != mtus.get(address))
    subnets = (ip_network(config.ipv6_subnet), ip_network(config.ipv4_subnet))
    on_bridge = {address for address in remote if any(ip_address(address) in subnet for subnet in subnets)}
    return Changes(
        wg=tuple(_wg(state, remote, device, now_s)),
        ip=(
            *(line for address in gone for line in _forget(config, address, paths)),
            *(_route(config, address, mtus.get(address)) for address in dict.fromkeys((*come, *resized))),
            *_proxies(config, on_bridge, paths),
        ),
        announce=() if paths.bridge_index is None else tuple(address for address in come if address in on_bridge),
    )


def canonical(address: str) -> str:
    return str(ip_address(address))


def _source(config: OverlayConfig, address: str) -> str:
    """What this host calls itself when it speaks to `address`: peers accept nothing else from it."""
    return canonical(config.ipv6 if ":" in address else config.ipv4)


def _route(config: OverlayConfig, address: str, mtu: int | None) -> str:
    """Locked, or the kernel would not heed it in IPv6 packets that it forwards (ip6_dst_mtu_maybe_forward)."""
    size = "" if mtu is None else f" mtu lock {mtu}"
    return f"route replace {address} dev {config.interface} src {_source(config, address)}{size} proto static"


def _wg(state: OverlayState, remote: Mapping[str, str], device: ObservedDevice, now_s: float) -> Iterator[str]:
    wanted: dict[str, set[str]] = {peer.public_key: set() for peer in state.peers}
    for address, key in remote.items():
        wanted[key].add(address)
    for key in sorted(device.peers.keys() - wanted.keys()):
        yield from ("peer", key, "remove")
    endpoints = {peer.public_key: peer.endpoint for peer in state.peers}
    for key, addresses in wanted.items():
        words = [*_peer_words(endpoints[key], device.peers.get(key), now_s)]
        if _must_list(addresses, key, remote, device.peers.get(key)):
            words += ["allowed-ips", ",".join(sorted(addresses))]
        if words or key not in device.peers:
            yield from ("peer", key, *words)


def _peer_words(endpoint: str, peer: ObservedPeer | None, now_s: float) -> Iterator[str]:
    if peer is None or peer.keepalive_s != KEEPALIVE_S:
        yield from ("persistent-keepalive", str(KEEPALIVE_S))
    # A live session knows better than we do where its peer is: WireGuard follows a peer that roams.
    if peer is None or (peer.endpoint != endpoint and now_s - peer.handshake_at_s > SESSION_DEAD_S):
        yield from ("endpoint", endpoint)


def _must_list(addresses: set[str], key: str, remote: Mapping[str, str], peer: ObservedPeer | None) -> bool:
    """An address that another peer claims in this same call leaves by itself: only the claimer is written."""
    has = frozenset() if peer is None else peer.addresses
    if addresses - has:
        return True
    return any(remote.get(address, key) == key for address in has - addresses)


def _forget(config: OverlayConfig, address: str, paths: ObservedPaths) -> Iterator[str]:
    yield f"route del {address} dev {config.interface}"
    if paths.bridge_index is not None:
        # From an earlier stay: the dead container's hardware address, which would be believed for up to a minute.
        yield f"neigh flush to {address} dev {config.bridge}"


def _proxies(config: OverlayConfig, on_bridge: set[str], paths: ObservedPaths) -> Iterator[str]:
    """IPv6 needs a proxy neighbour for each address; for IPv4 the bridge's proxy_arp follows the routes."""
    if paths.bridge_index is None:
        return
    wanted = {address for address in on_bridge if ":" in address}
    for address in sorted(paths.proxies - wanted):
        yield f"neigh del proxy {address} dev {config.bridge}"
    for address in sorted(wanted - paths.proxies):
        yield f"neigh add proxy {address} dev {config.bridge}"
