"""The overlay's firewall rules: in chains of ployz's own, whatever is left of the others'."""

from __future__ import annotations

from ployz.host.ports import OverlayConfig
from ployz.host.wireguard.rules import missing, script

CONFIG = OverlayConfig("wg0", "fd77:7::1", "10.77.0.1", 51820, "br0", "fd77:7:0:1::/64", "10.78.0.0/16")
MADE = """\
*filter
:FORWARD DROP [0:0]
:PLOYZ-FORWARD - [0:0]
:PLOYZ-LAST - [0:0]
-A FORWARD -j PLOYZ-FORWARD
-A FORWARD -j DOCKER-USER
-A FORWARD -j PLOYZ-LAST
-A PLOYZ-FORWARD -i wg0 -o br0 -j ACCEPT
-A PLOYZ-FORWARD -i br0 -o wg0 -j ACCEPT
-A PLOYZ-FORWARD -i br0 -o br0 -j ACCEPT
-A PLOYZ-LAST -i br0 ! -o br0 -j ACCEPT
-A PLOYZ-LAST -o br0 -m conntrack --ctstate ESTABLISHED,RELATED,DNAT -j ACCEPT
COMMIT
*nat
-A POSTROUTING -j PLOYZ-NAT
-A PLOYZ-NAT -s 10.78.0.0/16 ! -d 10.78.0.0/16 ! -o wg0 -j MASQUERADE
COMMIT
"""


def test_what_is_there_in_another_spelling_is_left_alone() -> None:
    assert missing("iptables", CONFIG, MADE) == ()
    assert script("iptables", CONFIG, MADE) == ""


def test_without_any_rules_all_are_made() -> None:
    assert missing("iptables", CONFIG, "") == ("iptables: PLOYZ-FORWARD", "iptables: PLOYZ-LAST", "iptables: PLOYZ-NAT")
    text = script("iptables", CONFIG, "")
    assert text.startswith("*filter\n:PLOYZ-FORWARD - [0:0]\n")
    assert "-I FORWARD 1 -j PLOYZ-FORWARD\n" in text
    assert "-A FORWARD -j PLOYZ-LAST\n" in text
    assert text.endswith("-I POSTROUTING 1 -j PLOYZ-NAT\nCOMMIT\n")


def test_of_ipv6_nothing_but_the_overlay_is_let_through() -> None:
    text = script("ip6tables", CONFIG, "")
    assert "PLOYZ-LAST" not in text
    assert "*nat" not in text


def test_only_what_is_missing_is_written() -> None:
    flushed = "".join(line for line in MADE.splitlines(keepends=True) if "-A FORWARD" not in line)
    assert script("iptables", CONFIG, flushed) == (
        "*filter\n-I FORWARD 1 -j PLOYZ-FORWARD\n-A FORWARD -j PLOYZ-LAST\nCOMMIT\n"
    )


def test_docker_that_put_itself_first_is_passed_again() -> None:
    behind = MADE.replace(
        "-A FORWARD -j PLOYZ-FORWARD\n-A FORWARD -j DOCKER-USER",
        "-A FORWARD -j DOCKER-USER\n-A FORWARD -j PLOYZ-FORWARD",
    )
    assert missing("iptables", CONFIG, behind) == ("iptables: PLOYZ-FORWARD",)
    assert script("iptables", CONFIG, behind) == (
        "*filter\n-D FORWARD -j PLOYZ-FORWARD\n-I FORWARD 1 -j PLOYZ-FORWARD\nCOMMIT\n"
    )


def test_rules_that_ployz_once_wrote_into_others_chains_go() -> None:
    former = MADE.replace("COMMIT", "-A DOCKER-USER -i wg0 -o br0 -j ACCEPT\nCOMMIT", 1)
    assert script("iptables", CONFIG, former) == "*filter\n-D DOCKER-USER -i wg0 -o br0 -j ACCEPT\nCOMMIT\n"
