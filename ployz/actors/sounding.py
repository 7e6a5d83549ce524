"""One machine's look at the ways to all others: whether the packets that it may send there arrive whole.

A way that loses what is large keeps every small question alive, and lets all that is bulk hang.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ployz.actors.parts import Parts
from ployz.actors.routing import overlay_state
from ployz.ids import MachineId
from ployz.plan.packets import SMALL_BYTES, smaller
from ployz.plan.reports import PacketReport
from ployz.surroundings import SLOWNESS

ANSWER_S: Final = 1.5 * SLOWNESS
"""For all of them at once."""


async def packets_lost(parts: Parts, among: Collection[MachineId] | None = None) -> list[PacketReport]:
    """To all, or `among` these. Not of a machine that answers nothing at all, which is another finding."""
    if parts.is_removed:
        return []
    packet_bytes = {peer.public_key: peer.packet_bytes for peer in overlay_state(parts).peers}
    wanted = {
        each.ipv6: (each.machine, packet_bytes[each.public_key])
        for each in parts.view.machines.in_order()
        if each.public_key in packet_bytes and (among is None or each.machine in among)
    }
    asked = {address: {SMALL_BYTES, size_bytes} for address, (_, size_bytes) in wanted.items()}
    first = await parts.soundings.sizes_answered(asked, timeout_s=ANSWER_S) if asked else {}
    lost = {
        address: size_bytes
        for address, (_, size_bytes) in wanted.items()
        if SMALL_BYTES in first[address] and size_bytes not in first[address]
    }
    if not lost:
        return []
    again = {address: smaller(size_bytes) for address, size_bytes in lost.items()}
    second = await parts.soundings.sizes_answered(again, timeout_s=ANSWER_S)
    return [
        PacketReport(wanted[address][0], size_bytes, max(second[address], default=0))
        for address, size_bytes in lost.items()
        if size_bytes not in second[address]
    ]
