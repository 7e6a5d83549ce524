from __future__ import annotations

from ployz.host.readiness import LOOK_MARK
from ployz.host.wireguard.doors import door_script, parse_doors

NONE = """\
add table inet ployz
delete table inet ployz
add table bridge ployz
delete table bridge ployz
"""


def test_no_closed_address_leaves_no_table() -> None:
    assert door_script("br0", ()) == NONE


def test_a_closed_address_is_reached_over_the_bridge_by_marked_packets_of_the_host_alone() -> None:
    lines = door_script("br0", {"fd77::d", "10.78.0.13"}).removeprefix(NONE).splitlines()
    rules = [line.removeprefix("add rule ") for line in lines if line.startswith("add rule ")]
    mark = f"meta mark != {LOOK_MARK:#x}"
    assert rules == [
        f'inet ployz output oifname "br0" {mark} ip daddr {{ 10.78.0.13 }} ct direction original drop',
        f'inet ployz output oifname "br0" {mark} ip6 daddr {{ fd77::d }} ct direction original drop',
        'inet ployz forward oifname "br0" ip daddr { 10.78.0.13 } ct direction original drop',
        'inet ployz forward oifname "br0" ip6 daddr { fd77::d } ct direction original drop',
        "bridge ployz forward ip daddr { 10.78.0.13 } tcp flags & (syn | ack) == syn drop",
        "bridge ployz forward ip6 daddr { fd77::d } tcp flags & (syn | ack) == syn drop",
    ]


def test_a_network_made_ahead_is_not_heard_of() -> None:
    lines = door_script("br0", (), {"10.78.0.13", "10.78.1.2"}).removeprefix(NONE).splitlines()
    assert lines == [
        "add table bridge ployz",
        "add chain bridge ployz hide { type filter hook prerouting priority -300; }",
        "add rule bridge ployz hide ether saddr { 02:42:0a:4e:00:0d, 02:42:0a:4e:01:02 } drop",
    ]
    both = door_script("br0", {"10.78.0.14"}, {"10.78.0.13"})
    assert both.count("add rule") == 4


def test_addresses_of_one_family_need_no_rule_for_the_other() -> None:
    assert "ip6" not in door_script("br0", {"10.78.0.13"})


LISTED = """\
table inet ployz {
    chain output {
        type filter hook output priority filter; policy accept;
        oifname "br0" meta mark != 0x00706c79 ip daddr 10.78.0.14 ct direction original drop
        oifname "br0" meta mark != 0x00706c79 ip6 daddr { fd77::d,
                                 fd77::e } ct direction original drop
    }
}
table bridge ployz {
    chain hide {
        type filter hook prerouting priority dstnat; policy accept;
        ether saddr { 02:42:0a:4e:00:0d, 02:42:0a:4e:01:02 } drop
    }
}
"""
"""As nft prints it: a set of one is no set, a long one goes on below."""


def test_what_nft_lists_is_read_back_as_addresses() -> None:
    assert parse_doors(LISTED) == {"10.78.0.14", "fd77::d", "fd77::e", "10.78.0.13", "10.78.1.2"}
    assert parse_doors("") == set()


def test_a_script_is_read_back_as_what_it_was_made_from() -> None:
    closed, hidden = {"fd77::d", "10.78.0.13"}, {"10.78.0.14"}
    assert parse_doors(door_script("br0", closed, hidden)) == closed | hidden
