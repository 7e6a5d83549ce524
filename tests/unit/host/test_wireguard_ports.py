from __future__ import annotations

from attrs import evolve

from ployz.host.ports import Offer, OverlayConfig
from ployz.host.wireguard.doors import TABLE as DOORS
from ployz.host.wireguard.ports import TABLE, ports_script

CONFIG = OverlayConfig(
    "wg0", "fd77:7::1", "10.77.0.1", 51820, "br0", "fd77:7:0:1::/64", "10.78.0.0/16", frozenset({7702, 7701})
)


def rules_of(chain: str, script: str) -> list[str]:
    prefix = f"add rule inet {TABLE} {chain} "
    return [line.removeprefix(prefix) for line in script.splitlines() if line.startswith(prefix)]


def test_whoever_is_on_the_bridge_or_has_a_workloads_address_gets_what_is_offered_and_nothing_else() -> None:
    script = ports_script(
        CONFIG, {Offer("tcp", 8080), Offer("udp", 5353), Offer("tcp", 80), Offer("tcp", 5432, "192.0.2.7")}
    )
    assert rules_of("input", script)[2:] == [
        f"{whose} goto containers" for whose in ('iifname "br0"', "ip saddr 10.78.0.0/16", "ip6 saddr fd77:7:0:1::/64")
    ]
    assert rules_of("containers", script) == [
        "tcp dport { 7701, 7702 } reject with tcp reset",
        "ct state established,related accept",
        "meta l4proto { icmp, ipv6-icmp, igmp } accept",
        "tcp dport { 53, 80, 8080 } accept",
        "udp dport { 53, 5353 } accept",
        "ip daddr 192.0.2.7 tcp dport 5432 accept",
        "meta l4proto tcp reject with tcp reset",
        "reject with icmpx type port-unreachable",
    ]


def test_what_is_for_machines_is_refused_even_where_a_service_would_publish_it() -> None:
    assert rules_of("containers", ports_script(CONFIG, {Offer("tcp", 7701)}))[0].startswith(
        "tcp dport { 7701, 7702 } reject"
    )


def test_the_overlays_addresses_of_a_machine_are_reached_by_the_overlay_alone() -> None:
    gateways = evolve(CONFIG, machine_ports=frozenset(), gateways=("fd77:7:0:1::1/64", "10.78.0.1/16"))
    inside = 'iifname != { "lo", "wg0", "br0" }'
    assert rules_of("input", ports_script(gateways))[:2] == [
        f"{inside} ip daddr {{ 10.77.0.1, 10.78.0.1 }} drop",
        f"{inside} ip6 daddr {{ fd77:7::1, fd77:7:0:1::1 }} drop",
    ]


def test_connections_to_and_from_the_overlay_are_told_what_fits() -> None:
    rules = [line for line in ports_script(CONFIG).splitlines() if line.startswith(f"add rule inet {TABLE} segments")]
    size = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"
    assert rules == [f'add rule inet {TABLE} segments {way} "wg0" {size}' for way in ("oifname", "iifname")]


def test_words_between_machines_are_small_both_ways() -> None:
    rules = ports_script(evolve(CONFIG, control_ports=frozenset({7701, 2379}))).splitlines()
    size = "tcp flags & (syn | rst) == syn tcp option maxseg size set 1220"
    assert [each for each in rules if each.startswith(f"add rule inet {TABLE} words")] == [
        f'add rule inet {TABLE} words oifname "wg0" tcp {end} {{ 2379, 7701 }} {size}' for end in ("dport", "sport")
    ]
    assert " words " not in ports_script(CONFIG)


def test_what_was_there_is_replaced_and_doors_are_another_table() -> None:
    assert ports_script(CONFIG).splitlines()[:2] == [f"add table inet {TABLE}", f"delete table inet {TABLE}"]
    assert f" {DOORS}\n" not in ports_script(CONFIG)
