"""What a simulated machine's disk keeps beside its log: the same bytes as in the real files."""

from __future__ import annotations

from anyio.lowlevel import checkpoint

from ployz.errors import Code, Corrupt
from ployz.projections import snapshot
from ployz.projections.compaction import Compaction
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
        return None if self.data is None else snapshot.load(self.data, Folded, PLOYZ)

    async def write(self, folded: Folded) -> None:
        self.data = snapshot.dump(folded, PLOYZ)
        await checkpoint()


class MemoryCompactions:
    """`Compactions`."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.kept: list[bytes] = []

    async def read(self) -> Compaction | None:
        await checkpoint()
        return None if self.data is None else snapshot.load(self.data, Compaction, PLOYZ)

    async def piece(self, place: int) -> bytes:
        await checkpoint()
        if place >= len(self.kept):
            raise Corrupt(Code.LOG_CORRUPT, f"there is no piece {place}")
        return self.kept[place]

    async def write(self, compaction: Compaction) -> None:
        self.kept = [*self.kept[: compaction.pieces], compaction.cut()]
        self.data = snapshot.dump(compaction, PLOYZ)
        await checkpoint()
