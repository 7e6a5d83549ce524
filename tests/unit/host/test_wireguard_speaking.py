from __future__ import annotations

from attrs import evolve

from ployz.host.ports import OverlayConfig, Station
from ployz.host.wireguard.observed import Plug
from ployz.host.wireguard.speaking import Seating, kept, seated, speaking_script, standing

CONFIG = OverlayConfig("wg0", "fd77:7::1", "10.77.0.1", 51820, "br0", "fd77:7:0:1::/64", "10.78.0.0/16")
DB = Station("10.78.0.13", "fd77:7:0:1::d", process=101)
WEB = Station("10.78.0.14", "fd77:7:0:1::e", process=102)
PLUGS = {"veth1": Plug(11, 1), "veth2": Plug(12, 2), "veth3": Plug(13, None)}
SEATING = seated(kept(Seating({}), PLUGS, {DB, WEB}), PLUGS, {DB, WEB}, {101: 1, 102: 2})


def rules(chain: str, seating: Seating = SEATING) -> list[str]:
    prefix = f"add rule bridge ployz_bridge {chain} "
    lines = speaking_script(CONFIG, seating, {DB, WEB}).splitlines()
    return [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]


def test_a_port_is_whose_network_is_at_its_other_end() -> None:
    assert {name: station for name, (_, station) in SEATING.seats.items()} == {"veth1": DB, "veth2": WEB}
    assert SEATING.strangers == {"veth3"}
    assert standing(SEATING, {DB, WEB}) == []


def test_nobody_is_seated_by_what_is_not_known() -> None:
    nobody = kept(Seating({}), PLUGS, {DB})
    assert seated(nobody, PLUGS, {DB}, {}) == nobody
    assert seated(nobody, PLUGS, {evolve(DB, process=0)}, {101: 1}) == nobody


def test_a_seat_ends_with_its_plug_and_with_its_station() -> None:
    another = {**PLUGS, "veth1": Plug(21, 1)}
    assert set(kept(SEATING, another, {DB, WEB}).seats) == {"veth2"}
    assert kept(SEATING, another, {DB, WEB}).strangers == {"veth1", "veth3"}
    assert set(kept(SEATING, PLUGS, {WEB}).seats) == {"veth2"}
    assert set(kept(SEATING, {}, {DB, WEB}).seats) == set()


def test_a_port_speaks_for_its_own_container_alone() -> None:
    assert rules("heard")[0] == (
        'iifname vmap { "veth1" : goto as_10_78_0_13, "veth2" : goto as_10_78_0_14, "veth3" : goto unseated }'
    )
    about = "@th,64,128"
    own = "{ 0xfd77000700000001000000000000000d, 0xfe800000000000000042 0afffe4e000d }".replace(" 0afffe", "0afffe")
    assert rules("as_10_78_0_13") == [
        "ether saddr != 02:42:0a:4e:00:0d drop",
        "ip saddr 10.78.0.13 goto manners4",
        f"icmpv6 type nd-neighbor-advert {about} != {own} drop",
        "ip6 saddr { fd77:7:0:1::d, fe80::42:aff:fe4e:d } goto manners6",
        f"ip6 saddr :: icmpv6 type nd-neighbor-solicit {about} {own} accept",
        "ip6 saddr :: icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept",
        "ip6 saddr :: icmpv6 type nd-router-solicit accept",
        "arp saddr ether 02:42:0a:4e:00:0d arp saddr ip 10.78.0.13 accept",
        "drop",
    ]


def test_nobody_is_a_router_or_a_dhcp_server() -> None:
    assert rules("manners4") == ["udp sport 67 drop", "icmp type { redirect, router-advertisement } drop", "accept"]
    assert rules("manners6") == ["udp sport 547 drop", "icmpv6 type { nd-router-advert, nd-redirect } drop", "accept"]


def test_who_has_no_port_yet_is_known_by_its_hardware_address_and_who_has_one_is_not() -> None:
    half = evolve(SEATING, seats={"veth1": SEATING.seats["veth1"]})
    assert rules("unseated", half) == ["ether saddr vmap { 02:42:0a:4e:00:0e : goto as_10_78_0_14 }", "drop"]
    assert rules("unseated") == ["drop"]


def test_bridges_of_others_are_only_kept_from_speaking_for_workloads() -> None:
    assert rules("heard")[1:] == [
        "ip saddr 10.78.0.0/16 goto unseated",
        "arp saddr ip 10.78.0.0/16 goto unseated",
        "ip6 saddr fd77:7:0:1::/64 goto unseated",
    ]
