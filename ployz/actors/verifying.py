"""Reading everything in a snapshot, for a coordinator that compares it with the other side; ended when it must be."""

from __future__ import annotations

import anyio

from ployz.actors.dataset import VolumeDataset
from ployz.actors.messages.storage import Digest, DigestSnapshot
from ployz.errors import Code, Failed
from ployz.events.types import VolumeDigested
from ployz.ids import OperationId
from ployz.plan import names


class Verifying:
    def __init__(self, dataset: VolumeDataset) -> None:
        self._dataset = dataset
        self._running: dict[OperationId, anyio.CancelScope] = {}

    @property
    def operations(self) -> set[OperationId]:
        return set(self._running)

    def end(self, operation_id: OperationId) -> None:
        if (running := self._running.get(operation_id)) is not None:
            running.cancel()

    async def digest(self, message: DigestSnapshot) -> Digest:
        """`Failed` (ZFS_FAILED): it cannot be read, or it was ended."""
        scope = self._running[message.operation_id] = anyio.CancelScope()
        try:
            with scope:
                outcome = await self._dataset.parts.journal.perform(
                    message.operation_id,
                    names.step("digest", f"{message.volume}@{message.snapshot}"),
                    self._dataset.stream,
                    message.snapshot,
                    lambda: self._digest(message.snapshot),
                )
                return Digest(outcome.digest)
        finally:
            del self._running[message.operation_id]
        raise Failed(Code.ZFS_FAILED, f"the digest of {message.volume} was cancelled by its coordinator")

    async def _digest(self, snapshot: str) -> VolumeDigested:
        digest = await self._dataset.parts.zfs.digest(self._dataset.name, snapshot)
        return VolumeDigested(self._dataset.volume, snapshot, digest)
