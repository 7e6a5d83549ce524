from __future__ import annotations

from ployz.host.ports import OverlayConfig
from ployz.host.wireguard.observed import ObservedLink
from ployz.host.wireguard.settings import (
    bridge_switches,
    interface_lines,
    undoubted_lines,
)

CONFIG = OverlayConfig("wg0", "fd77:7::1", "10.77.0.1", 51820, "br0", "fd77:7:0:1::/64", "10.78.0.0/16")
DONE = ObservedLink(mtu=1420, up=True, addresses=frozenset({"fd77:7::1/128", "10.77.0.1/32"}))


def test_an_interface_that_is_as_it_must_be_is_left_alone() -> None:
    assert interface_lines(CONFIG, DONE) == ()


def test_a_fresh_interface_gets_addresses_before_it_is_up() -> None:
    assert interface_lines(CONFIG, ObservedLink(mtu=1500, up=False, addresses=frozenset())) == (
        "addr add fd77:7::1/128 dev wg0 nodad",
        "addr add 10.77.0.1/32 dev wg0",
        "link set dev wg0 mtu 1420",
        "link set dev wg0 addrgenmode none up",
    )


def test_an_address_of_a_former_membership_goes() -> None:
    former = ObservedLink(mtu=1420, up=True, addresses=DONE.addresses | {"fd99::4/128"})
    assert interface_lines(CONFIG, former) == ("addr del fd99::4/128 dev wg0",)


def test_the_bridge_answers_for_addresses_elsewhere_without_delay() -> None:
    assert bridge_switches("br-a.1") == {
        "net/ipv4/conf/br-a.1/proxy_arp": "1",
        "net/ipv4/neigh/br-a.1/proxy_delay": "0",
        "net/ipv6/conf/br-a.1/proxy_ndp": "1",
        "net/ipv6/neigh/br-a.1/proxy_delay": "0",
    }


def test_a_tentative_address_is_given_again_without_a_search_for_duplicates() -> None:
    assert undoubted_lines("br0", ["fe80::1/64"]) == (
        "addr del fe80::1/64 dev br0",
        "addr add fe80::1/64 dev br0 nodad",
    )
