from __future__ import annotations

from attrs import evolve

from ployz.host.ports import OverlayConfig, OverlayPeer, OverlayState
from ployz.host.wireguard.changes import KEEPALIVE_S, SESSION_DEAD_S, Changes, changes
from ployz.host.wireguard.observed import ObservedDevice, ObservedPaths, ObservedPeer

CONFIG = OverlayConfig(
    interface="wg0",
    ipv6="fd77:7::1",
    ipv4="10.77.0.1",
    listen_port=51820,
    bridge="br0",
    ipv6_subnet="fd77:7:0:1::/64",
    ipv4_subnet="10.78.0.0/16",
)
DB6, DB4 = "fd77:7:0:1::d", "10.78.0.13"
A = OverlayPeer("key-a", "192.0.2.1:51820", frozenset({"fd77:7::2", "10.77.0.2"}))
B = OverlayPeer("key-b", "192.0.2.2:51820", frozenset())
NOW_S = 1_000_000.0


def holding(peer: OverlayPeer, *addresses: str) -> OverlayPeer:
    return evolve(peer, addresses=peer.addresses | set(addresses))


def kernel(*peers: OverlayPeer, here: tuple[str, ...] = ()) -> tuple[ObservedDevice, ObservedPaths]:
    """What the kernel shows when exactly these peers were applied, just now, with live sessions."""
    device = ObservedDevice(
        public_key="own",
        listen_port=51820,
        peers={
            peer.public_key: ObservedPeer(peer.endpoint, peer.addresses, int(NOW_S) - 5, 0, 0, KEEPALIVE_S)
            for peer in peers
        },
    )
    remote = {address for peer in peers for address in peer.addresses} - set(here)
    paths = ObservedPaths(
        routes={address: CONFIG.ipv6 if ":" in address else CONFIG.ipv4 for address in remote},
        proxies=frozenset(address for address in remote if address.startswith("fd77:7:0:1:")),
        bridge_index=4,
    )
    return device, paths


def difference(seen: tuple[ObservedDevice, ObservedPaths], *peers: OverlayPeer, local: tuple[str, ...] = ()) -> Changes:
    return changes(CONFIG, OverlayState(peers, frozenset(local)), *seen, now_s=NOW_S)


def test_nothing_is_written_when_nothing_differs() -> None:
    peers = (holding(A, DB6, DB4), B)
    assert difference(kernel(*peers), *peers, local=("10.78.0.99",)) == Changes()


def test_a_new_peer_gets_its_endpoint_keepalive_and_addresses() -> None:
    assert difference(kernel(), A).wg == (
        *("peer", "key-a", "persistent-keepalive", "25", "endpoint", "192.0.2.1:51820"),
        *("allowed-ips", "10.77.0.2,fd77:7::2"),
    )


def test_a_new_peer_without_addresses_is_made_all_the_same() -> None:
    assert difference(kernel(), B).wg[:2] == ("peer", "key-b")


def test_a_removed_peer_takes_its_routes_along() -> None:
    change = difference(kernel(A))
    assert change.wg == ("peer", "key-a", "remove")
    assert "route del fd77:7::2 dev wg0" in change.ip
    assert "route del 10.77.0.2 dev wg0" in change.ip


def test_a_move_between_two_others_writes_only_the_new_holder() -> None:
    change = difference(kernel(holding(A, DB6, DB4), B), A, holding(B, DB6, DB4))
    assert change == Changes(wg=("peer", "key-b", "allowed-ips", "10.78.0.13,fd77:7:0:1::d"))


def test_an_address_that_moves_away_from_here_is_routed_proxied_and_announced() -> None:
    change = difference(kernel(A), holding(A, DB6, DB4))
    assert change.ip == (
        "route replace 10.78.0.13 dev wg0 src 10.77.0.1 proto static",
        "route replace fd77:7:0:1::d dev wg0 src fd77:7::1 proto static",
        "neigh add proxy fd77:7:0:1::d dev br0",
    )
    assert set(change.announce) == {DB4, DB6}


def test_an_address_that_arrives_here_loses_its_route_its_proxy_and_what_was_cached() -> None:
    change = difference(kernel(holding(A, DB6)), A, local=(DB6,))
    assert change.ip == (
        "route del fd77:7:0:1::d dev wg0",
        "neigh flush to fd77:7:0:1::d dev br0",
        "neigh del proxy fd77:7:0:1::d dev br0",
    )
    assert change.wg == ("peer", "key-a", "allowed-ips", "10.77.0.2,fd77:7::2")
    assert change.announce == ()


def test_a_local_claim_beats_a_peer_that_still_has_the_address() -> None:
    assert difference(kernel(A), holding(A, DB6), local=(DB6,)) == Changes()


def test_of_two_peers_with_one_address_the_later_has_it() -> None:
    change = difference(kernel(A, B), holding(A, DB6), holding(B, DB6))
    assert change.wg == ("peer", "key-b", "allowed-ips", DB6)


def test_a_machine_address_is_routed_but_never_proxied_or_announced() -> None:
    change = difference(kernel(B), B, A)
    assert not [line for line in change.ip if line.startswith("neigh")]
    assert change.announce == ()


def test_an_address_in_another_spelling_is_the_same_address() -> None:
    assert difference(kernel(holding(A, DB6)), holding(A, "FD77:7:0:1:0:0:0:D")) == Changes()


def test_a_route_with_another_source_is_replaced() -> None:
    device, paths = kernel(A)
    paths = evolve(paths, routes={**paths.routes, "10.77.0.2": "192.0.2.9"})
    assert difference((device, paths), A).ip == ("route replace 10.77.0.2 dev wg0 src 10.77.0.1 proto static",)


def test_a_peer_that_takes_only_smaller_packets_has_routes_that_say_so_and_loses_them_when_it_takes_all() -> None:
    narrow = evolve(A, mtu=1340)
    assert difference(kernel(A, B), narrow, B).ip == (
        "route replace 10.77.0.2 dev wg0 src 10.77.0.1 mtu lock 1328 proto static",
        "route replace fd77:7::2 dev wg0 src fd77:7::1 mtu lock 1328 proto static",
    )
    device, paths = kernel(A)
    paths = evolve(paths, mtus=dict.fromkeys(A.addresses, 1328))
    assert difference((device, paths), narrow) == Changes()
    assert difference((device, paths), A).ip == (
        "route replace 10.77.0.2 dev wg0 src 10.77.0.1 proto static",
        "route replace fd77:7::2 dev wg0 src fd77:7::1 proto static",
    )


def test_a_stranger_in_the_allowed_addresses_is_removed() -> None:
    device, paths = kernel(A)
    stranger = evolve(device.peers["key-a"], addresses=A.addresses | {"10.0.0.0/8"})
    change = difference((evolve(device, peers={"key-a": stranger}), paths), A)
    assert change.wg == ("peer", "key-a", "allowed-ips", "10.77.0.2,fd77:7::2")


def test_an_endpoint_that_wireguard_followed_is_kept_while_the_session_lives() -> None:
    device, paths = kernel(A)
    roamed = evolve(device.peers["key-a"], endpoint="198.51.100.7:4242")
    assert difference((evolve(device, peers={"key-a": roamed}), paths), A) == Changes()
    dead = evolve(roamed, handshake_at_s=int(NOW_S) - SESSION_DEAD_S - 1)
    change = difference((evolve(device, peers={"key-a": dead}), paths), A)
    assert change == Changes(wg=("peer", "key-a", "endpoint", "192.0.2.1:51820"))


def test_without_a_bridge_there_are_routes_and_nothing_else() -> None:
    device, paths = kernel()
    change = difference((device, evolve(paths, bridge_index=None)), holding(A, DB6))
    assert all(line.startswith("route replace") for line in change.ip)
    assert change.announce == ()
