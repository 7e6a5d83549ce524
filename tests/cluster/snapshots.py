"""The snapshot on a simulated machine's disk: the same bytes as in the real file."""

from __future__ import annotations

from anyio.lowlevel import checkpoint

from ployz.projections import snapshot
from ployz.projections.folded import Folded

EVERY_RECORDS = 10
"""So that nearly every life of a machine begins from one."""
PLOYZ = b"simulated".ljust(32)


class MemorySnapshots:
    """`Snapshots`."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    async def read(self) -> Folded | None:
        await checkpoint()
        return None if self.data is None else snapshot.load(self.data, PLOYZ)

    async def write(self, folded: Folded) -> None:
        self.data = snapshot.dump(folded, PLOYZ)
        await checkpoint()
