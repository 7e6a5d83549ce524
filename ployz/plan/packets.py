"""Sizes of packets: what is tried where large ones are lost, and what helps then. Pure."""

from __future__ import annotations

from typing import Final

from ployz.host.ports.overlay import BLOCK_BYTES
from ployz.ids import MTU_MIN, MachineId

SMALL_BYTES: Final = 128
"""Passes wherever anything does."""
_NEEDED: Final = MTU_MIN + 80
"""Of the network below, also where it is IPv6."""


def smaller(size_bytes: int) -> tuple[int, ...]:
    """What is tried where packets of this size are lost: that once more, and each multiple of WireGuard's block."""
    first = (size_bytes - 1) // BLOCK_BYTES * BLOCK_BYTES
    return (size_bytes, *range(first, MTU_MIN - 1, -BLOCK_BYTES))


def remedy(machine: MachineId, passed_bytes: int) -> str:
    """`passed_bytes`: of the largest packet that arrived. 0: none that the overlay needs."""
    if passed_bytes:
        return f"Those of {passed_bytes} bytes pass: ployzctl machine set {machine} mtu={passed_bytes}"
    return f"The network between them has to take packets of {_NEEDED} bytes: look at its tunnels' MTU."
