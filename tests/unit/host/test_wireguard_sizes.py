from __future__ import annotations

import pytest

from ployz.host.ports import OverlayPeer
from ployz.host.wireguard.sizes import fitting, host_of, parse_ways


@pytest.mark.parametrize(
    ("endpoint", "outer_mtu", "inner_mtu"),
    [
        ("192.0.2.7:51820", 1500, 1420),
        ("192.0.2.7:51820", 9000, 1420),
        ("192.0.2.7:51820", 1460, 1400),
        ("192.0.2.7:51820", 1000, 1280),
        ("[2001:db8::7]:51820", 1500, 1420),
        ("[2001:db8::7]:51820", 1492, 1412),
        ("192.0.2.7:51820", None, 1420),
    ],
)
def test_what_goes_through_an_interface_is_smaller_by_what_wireguard_adds(
    endpoint: str, outer_mtu: int | None, inner_mtu: int
) -> None:
    assert fitting(host_of(endpoint), outer_mtu) == inner_mtu


def test_an_endpoint_that_nobody_knows_has_no_host() -> None:
    assert host_of("") == ""


@pytest.mark.parametrize(("mtu", "packet_bytes"), [(1420, 1420), (1412, 1408), (1340, 1328), (1280, 1280)])
def test_a_packet_is_still_small_enough_when_wireguard_has_filled_it_up(mtu: int, packet_bytes: int) -> None:
    assert OverlayPeer("key", "192.0.2.7:51820", frozenset(), mtu).packet_bytes == packet_bytes


def test_the_way_to_a_host_is_as_wide_as_its_interface_or_as_its_route_if_that_says_less() -> None:
    text = (
        '[{"ifindex":1,"ifname":"lo","mtu":65536},{"ifindex":5,"ifname":"eth0","mtu":1500}]\n'
        '[{"dst":"192.0.2.7","dev":"eth0","prefsrc":"192.0.2.1","cache":[]}]\n'
        '[{"dst":"192.0.2.8","gateway":"192.0.2.254","dev":"eth0","metrics":[{"mtu":1400}],"cache":[]}]\n'
        '[{"dst":"192.0.2.9","dev":"eth0","cache":[],"expires":590,"metrics":[{"mtu":576}]}]\n'
        '[{"dst":"2001:db8::7","from":"::","dev":"eth0","metric":1024,"flags":[],"pref":"medium"}]\n'
        '[{"dst":"203.0.113.1","dev":"gone0"}]\n'
    )
    assert parse_ways(text) == {"192.0.2.7": 1500, "192.0.2.8": 1400, "192.0.2.9": 1500, "2001:db8::7": 1500}
