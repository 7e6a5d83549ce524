from __future__ import annotations

from attrs import evolve

from ployz.host.ports import OverlayConfig
from ployz.host.wireguard.doors import TABLE as DOORS
from ployz.host.wireguard.ports import TABLE, ports_script

CONFIG = OverlayConfig(
    "wg0", "fd77:7::1", "10.77.0.1", 51820, "br0", "fd77:7:0:1::/64", "10.78.0.0/16", frozenset({7702, 7701})
)


def test_whoever_is_on_the_bridge_or_has_a_workloads_address_is_refused() -> None:
    assert _input_rules(CONFIG)[2:] == [
        f"add rule inet {TABLE} input {whose} tcp dport {{ 7701, 7702 }} reject with tcp reset"
        for whose in ('iifname "br0"', "ip saddr 10.78.0.0/16", "ip6 saddr fd77:7:0:1::/64")
    ]


def test_the_overlays_addresses_of_a_machine_are_reached_by_the_overlay_alone() -> None:
    gateways = evolve(CONFIG, machine_ports=frozenset(), gateways=("fd77:7:0:1::1/64", "10.78.0.1/16"))
    inside = 'iifname != { "lo", "wg0", "br0" }'
    assert _input_rules(gateways) == [
        f"add rule inet {TABLE} input {inside} ip daddr {{ 10.77.0.1, 10.78.0.1 }} drop",
        f"add rule inet {TABLE} input {inside} ip6 daddr {{ fd77:7::1, fd77:7:0:1::1 }} drop",
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


def _input_rules(config: OverlayConfig) -> list[str]:
    return [line for line in ports_script(config).splitlines() if line.startswith(f"add rule inet {TABLE} input")]
