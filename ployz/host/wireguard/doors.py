"""Doors in front of candidates: what must not be written to yet is reached by ployzd's own readiness looks alone.

Routes do not do it: the host and the containers of the candidate's own machine find it on their bridge, and what they
write to it before the commit would be lost with an abort. What the candidate itself begins is answered. Pure: text for
`nft -f -`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ployz.host.readiness import LOOK_MARK

TABLE: Final = "ployz"


def door_script(bridge: str, closed: Iterable[str]) -> str:
    """Replaces all doors by these, in one transaction of the kernel's. What leaves by another way than the bridge is
    for the machine that has the address.
    """
    return "".join(f"{line}\n" for line in _lines(bridge, sorted(closed)))


def _lines(bridge: str, closed: list[str]) -> Iterator[str]:
    for family in ("inet", "bridge"):
        yield f"add table {family} {TABLE}"
        yield f"delete table {family} {TABLE}"
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
