from __future__ import annotations

from ployz.host.ports import Circle, OverlayConfig
from ployz.host.wireguard.reach import reach_script

CONFIG = OverlayConfig("wg0", "fd77:7::1", "10.77.0.1", 51820, "br0", "fd77:7:0:1::/64", "10.78.0.0/16")
DB = Circle("production", frozenset({"10.78.0.13", "fd77::d"}), frozenset({"10.78.0.13", "fd77::d", "10.78.0.14"}))
NONE = """\
add table inet ployz_reach
delete table inet ployz_reach
add table bridge ployz_reach
delete table bridge ployz_reach
"""


def rules(family: str, chain: str) -> list[str]:
    prefix = f"add rule {family} ployz_reach {chain} "
    return [line.removeprefix(prefix) for line in reach_script(CONFIG, [DB]).splitlines() if line.startswith(prefix)]


def test_where_everybody_reaches_everybody_there_is_no_table() -> None:
    assert reach_script(CONFIG, ()) == NONE
    assert reach_script(CONFIG, [Circle("empty", frozenset(), frozenset({"10.78.0.13"}))]) == NONE


def test_what_comes_from_other_machines_is_answered_admitted_or_refused() -> None:
    assert rules("inet", "forward") == [
        "ct state established,related return",
        "ct status dnat return",
        "ip daddr vmap { 10.78.0.13 : goto to_production }",
        "ip6 daddr vmap { fd77::d : goto to_production }",
    ]
    assert rules("inet", "to_production") == [
        "ip saddr != 10.78.0.0/16 return",
        "ip6 saddr != fd77:7:0:1::/64 return",
        "ip saddr { 10.78.0.13, 10.78.0.14 } return",
        "ip6 saddr { fd77::d } return",
        "meta l4proto tcp reject with tcp reset",
        "reject with icmpx type admin-prohibited",
    ]


def test_on_the_bridge_openings_and_what_nobody_asked_for_are_dropped() -> None:
    assert rules("bridge", "forward") == [
        "ip saddr { 10.78.0.13 } update @asked_ip { ip saddr . ip daddr . udp sport . udp dport }",
        "ip6 saddr { fd77::d } update @asked_ip6 { ip6 saddr . ip6 daddr . udp sport . udp dport }",
        "ip daddr vmap { 10.78.0.13 : goto to_production }",
        "ip6 daddr vmap { fd77::d : goto to_production }",
    ]
    assert rules("bridge", "to_production")[:5] == [
        "tcp flags & (syn | ack) != syn return",
        "icmp type != echo-request return",
        "icmpv6 type != echo-request return",
        "ip daddr . ip saddr . udp dport . udp sport @asked_ip return",
        "ip6 daddr . ip6 saddr . udp dport . udp sport @asked_ip6 return",
    ]
    assert rules("bridge", "to_production")[-1] == "drop"
