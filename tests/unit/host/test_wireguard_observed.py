from __future__ import annotations

from ployz.host.wireguard.observed import (
    ObservedDevice,
    ObservedLink,
    ObservedPaths,
    ObservedPeer,
    parse_addresses,
    parse_dump,
    parse_link,
    parse_paths,
    parse_uplinks,
)

DUMP = (
    "cHJpdmF0ZQ==\tcHVibGlj\t51820\toff\n"
    "a2V5LWE=\t(none)\t192.0.2.1:51820\t10.78.0.13/32,fd77:7:0:1::d/128\t1700000000\t92\t148\t25\n"
    "a2V5LWI=\tcHNr\t(none)\t(none)\t0\t0\t0\toff\n"
    "a2V5LWM=\t(none)\t[2001:db8::2]:51820\t10.0.0.0/8,::/0\t0\t0\t148\t25\n"
)


def test_a_dump_is_read_without_its_private_key() -> None:
    device = parse_dump(DUMP)
    assert (device.public_key, device.listen_port) == ("cHVibGlj", 51820)
    assert "cHJpdmF0ZQ==" not in repr(device)


def test_a_dump_gives_each_peer_its_addresses_without_host_prefixes() -> None:
    peers = parse_dump(DUMP).peers
    assert peers["a2V5LWE="] == ObservedPeer(
        "192.0.2.1:51820", frozenset({"10.78.0.13", "fd77:7:0:1::d"}), 1_700_000_000, 92, 148, 25
    )
    assert peers["a2V5LWI="] == ObservedPeer("", frozenset(), 0, 0, 0, 0)
    assert peers["a2V5LWM="].addresses == {"10.0.0.0/8", "::/0"}


def test_a_device_without_a_key_has_none() -> None:
    assert parse_dump("(none)\t(none)\t0\toff\n") == ObservedDevice("", 0, {})


def test_paths_are_ours_on_our_bridge_and_not_the_kernels() -> None:
    ipv4 = (
        '[{"dst":"10.78.0.13","protocol":"static","scope":"link","prefsrc":"10.77.0.1","flags":[],"metrics":[{"mtu":1328}]}]\n'
        '[{"ifindex":3,"ifname":"docker0"},{"ifindex":4,"ifname":"br0","mtu":1420}]\n'
    )
    ipv6 = (
        '[{"dst":"fd77:7:0:1::d","protocol":"static","metric":1024},{"dst":"fd77:7::1","protocol":"kernel"},'
        '{"dst":"default","protocol":"static"},{"dst":"fd99::/16","protocol":"static"}]\n'
        '[{"dst":"fd77:7:0:1::d","dev":"br0","proxy":null},{"dst":"fd00::9","dev":"docker0","proxy":null}]\n'
    )
    assert parse_paths([ipv4, ipv6], "br0") == ObservedPaths(
        routes={"10.78.0.13": "10.77.0.1", "fd77:7:0:1::d": ""},
        mtus={"10.78.0.13": 1328},
        proxies=frozenset({"fd77:7:0:1::d"}),
        bridge_index=4,
    )


def test_a_machine_without_routes_or_bridge_has_neither() -> None:
    assert parse_paths(["[]\n[]\n", ""], "br0") == ObservedPaths()


def test_a_link_shows_its_addresses_without_the_link_local_one() -> None:
    text = (
        '[{"ifname":"wg0","flags":["POINTOPOINT","UP"],"mtu":1420,"addr_info":['
        '{"family":"inet","local":"10.77.0.1","prefixlen":32,"scope":"global"},'
        '{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]}]'
    )
    assert parse_link(text) == ObservedLink(mtu=1420, up=True, addresses=frozenset({"10.77.0.1/32"}))


def test_uplinks_are_named_once() -> None:
    route = '{"dst":"default","gateway":"fe80::1","dev":"eth0","protocol":"ra"}'
    assert parse_uplinks(f"[{route},{route}]") == ["eth0"]
    assert parse_uplinks("[]") == []


def test_addresses_that_a_filter_left_out_are_none() -> None:
    text = '[{"ifname": "ployz-br0", "addr_info": [{}, {"local": "fe80::1", "prefixlen": 64, "tentative": true}]}, {}]'
    assert parse_addresses(text) == ["fe80::1/64"]
