"""Doors in front of candidates: what must not be written to yet is reached by ployzd's own readiness looks alone.

Routes do not do it: the host and the containers of the candidate's own machine find it on their bridge, and what they
write to it before the commit would be lost with an abort. What the candidate itself begins is answered. A network that
was made ahead of its container is hidden whole: it would answer for an address that is elsewhere. Pure: text for
`nft -f -`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, ip_address
from typing import Final

from ployz.host.ports import hardware_address
from ployz.host.readiness import LOOK_MARK

TABLE: Final = "ployz"
FAMILIES: Final = ("inet", "bridge")
_WORDS: Final = re.compile(r"[\s{},;]+")
_HARDWARE: Final = re.compile(r"02:42(:[0-9a-f]{2}){4}\Z")


def door_script(bridge: str, closed: Iterable[str], hidden: Iterable[str] = ()) -> str:
    """Replaces all doors by these, in one transaction of the kernel's. What leaves by another way than the bridge is
    for the machine that has the address. `hidden`: IPv4 addresses.
    """
    return "".join(f"{line}\n" for line in _lines(bridge, sorted(closed), sorted(hidden)))


def parse_doors(text: str) -> frozenset[str]:
    """What `nft list table` of both families prints: each address that a rule is about. A hidden one is its own by its
    hardware address.
    """
    return frozenset(address for word in _WORDS.split(text) if (address := _address(word)) is not None)


def _address(word: str) -> str | None:
    if _HARDWARE.match(word):
        return str(IPv4Address(bytes.fromhex(word.replace(":", ""))[2:]))
    try:
        return str(ip_address(word))
    except ValueError:
        return None


def _lines(bridge: str, closed: list[str], hidden: list[str]) -> Iterator[str]:
    for family in FAMILIES:
        yield f"add table {family} {TABLE}"
        yield f"delete table {family} {TABLE}"
    if hidden:
        # Everything it says, ARP and neighbour discovery too: what nobody hears of, nobody sends to.
        yield f"add table bridge {TABLE}"
        yield f"add chain bridge {TABLE} hide {{ type filter hook prerouting priority -300; }}"
        macs = ", ".join(map(hardware_address, hidden))
        yield f"add rule bridge {TABLE} hide ether saddr {{ {macs} }} drop"
    to = [
        f"{family} daddr {{ {', '.join(addresses)} }}"
        for family, addresses in (
            ("ip", [each for each in closed if ":" not in each]),
            ("ip6", [each for each in closed if ":" in each]),
        )
        if addresses
    ]
    if not to:
        return
    for family, hook, which in (
        ("inet", "output", f'oifname "{bridge}" meta mark != {LOOK_MARK:#x} {{}} ct direction original'),
        ("inet", "forward", f'oifname "{bridge}" {{}} ct direction original'),
        ("bridge", "forward", "{} tcp flags & (syn | ack) == syn"),  # not every kernel follows connections here
    ):
        yield f"add table {family} {TABLE}"
        yield f"add chain {family} {TABLE} {hook} {{ type filter hook {hook} priority 0; }}"
        yield from (f"add rule {family} {TABLE} {hook} {which.format(each)} drop" for each in to)
