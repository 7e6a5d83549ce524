"""Where requests go: the address of every slot, and the machine that answers on it now.

Derived from placement alone, so that a route can name nothing but the owner that the last commit named.
"""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId, SlotRef
from ployz.projections.placement import Placement


@frozen(order=True)
class Route:
    slot: SlotRef
    machine: MachineId
    ipv6: str
    ipv4: str


def routes(placement: Placement) -> list[Route]:
    return [Route(ref, slot.machine, slot.ipv6, slot.ipv4) for ref, slot in placement.slots()]
