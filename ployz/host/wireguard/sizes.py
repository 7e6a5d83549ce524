"""How large a packet may be: what WireGuard adds to one, what the interface on the way takes, and TCP told of it.

A segment is made to fit where its connection begins, so that containers need not know of a way that is narrow. Pure:
from what `ip` prints, and text for `nft -f -`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from ployz.host.ports import OverlayConfig
from ployz.host.wireguard.changes import canonical
from ployz.ids import MTU_MAX, MTU_MIN

SMALLEST_SEGMENT_BYTES: Final = MTU_MIN - 40 - 20
"""Beside the headers of IPv6 and TCP."""
ADDED_BYTES: Final = {4: 60, 6: 80}
"""By WireGuard, UDP and IP."""


def host_of(endpoint: str) -> str:
    """`192.0.2.7` of `192.0.2.7:51820`. Empty: none is known."""
    return endpoint.rpartition(":")[0].strip("[]")


def fitting(host: str, outer_mtu: int | None) -> int:
    """The largest packet of the overlay that goes to this host in `outer_mtu` bytes. None: nothing leads there."""
    if outer_mtu is None:
        return MTU_MAX
    return max(MTU_MIN, min(MTU_MAX, outer_mtu - ADDED_BYTES[6 if ":" in host else 4]))


def parse_ways(text: str) -> dict[str, int]:
    """From `ip -j -batch`: of `link show`, and of `route get HOST` for each. What a router said once, and is forgotten
    again (`expires`), is none of the way's own.
    """
    entries = [entry for line in text.splitlines() if line for entry in json.loads(line)]
    links = {entry["ifname"]: int(entry["mtu"]) for entry in entries if "ifname" in entry and "mtu" in entry}
    ways: dict[str, int] = {}
    for entry in entries:
        if "dst" in entry and entry.get("dev") in links:
            own = [int(each["mtu"]) for each in entry.get("metrics", ()) if "mtu" in each and "expires" not in entry]
            ways[canonical(entry["dst"])] = min([links[entry["dev"]], *own])
    return ways


def segment_lines(config: OverlayConfig, table: str) -> Iterator[str]:
    """Of connections between containers and the overlay, both ways: the route back may be the narrow one. And of those
    between machines that are for words.
    """
    yield f"add chain inet {table} segments {{ type filter hook forward priority -150; }}"
    for way in (f'oifname "{config.interface}"', f'iifname "{config.interface}"'):
        yield (f"add rule inet {table} segments {way} tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu")
    if config.control_ports:
        # What machines tell each other must not hang where large packets are lost, or nobody could say that they are.
        yield f"add chain inet {table} words {{ type filter hook output priority -150; }}"
        ports = ", ".join(map(str, sorted(config.control_ports)))
        for end in ("dport", "sport"):
            yield (
                f'add rule inet {table} words oifname "{config.interface}" tcp {end} {{ {ports} }} '
                f"tcp flags & (syn | rst) == syn tcp option maxseg size set {SMALLEST_SEGMENT_BYTES}"
            )
