"""What of this machine containers do not reach at all: the ports at which machines speak with each other.

A container is on the overlay as every machine is, so an address says little; but what comes over a bridge, or from a
workload's address, is never a machine. Pure: text for `nft -f -`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ployz.host.ports import OverlayConfig

TABLE: Final = "ployz_ports"
"""Apart from the doors, which are replaced all the time."""


def ports_script(config: OverlayConfig) -> str:
    """Replaces what there is. Refused at once, and not dropped: who knocks by mistake need not wait."""
    return "".join(f"{line}\n" for line in _lines(config))


def _lines(config: OverlayConfig) -> Iterator[str]:
    yield f"add table inet {TABLE}"
    yield f"delete table inet {TABLE}"
    if not config.machine_ports:
        return
    ports = ", ".join(map(str, sorted(config.machine_ports)))
    yield f"add table inet {TABLE}"
    yield f"add chain inet {TABLE} input {{ type filter hook input priority -10; }}"
    for whose in (
        f'iifname "{config.bridge}"',
        f"ip saddr {config.ipv4_subnet}",
        f"ip6 saddr {config.ipv6_subnet}",
    ):
        yield f"add rule inet {TABLE} input {whose} tcp dport {{ {ports} }} reject with tcp reset"
