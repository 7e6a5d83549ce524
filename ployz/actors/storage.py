"""The storage actor: what concerns several volumes of a machine at once, and the root they lie below."""

from __future__ import annotations

import logging
from typing import Final

import anyio

from ployz.actors.core import Actor, handles
from ployz.actors.messages.storage import AskSizes, Sizes, SnapshotsTaken, TakeSnapshots, VolumeSize
from ployz.actors.parts import Parts
from ployz.errors import PloyzError
from ployz.events.types import SnapshotTaken, VolumesSnapshotTaken
from ployz.plan import names

RETRY_S: Final = 5.0

_log = logging.getLogger("ployz.storage")


class StorageActor(Actor):
    """`storage`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def started(self) -> None:
        self._has_root = await self._ensure_root()
        try:
            await self._parts.zfs.sweep(self._parts.config.pool)  # now alone: later it would end digests that go on
        except PloyzError as error:
            _log.warning("what a digest left behind is not removed yet: %s", error)

    async def run(self) -> None:
        while not self._has_root:
            await anyio.sleep(RETRY_S)
            self._has_root = await self._ensure_root()

    async def _ensure_root(self) -> bool:
        """False: the pool does not answer."""
        root = self._parts.config.root_dataset
        try:
            if await self._parts.zfs.state(root) is None:
                # Never mounted by itself: a received dataset inherits this (zfs-fuse has no `receive -u`).
                await self._parts.zfs.create(root, {"mountpoint": "none", "canmount": "off"})
        except PloyzError as error:
            _log.warning("%s is not ready yet: %s", root, error)
            return False
        return True

    @handles(AskSizes, concurrent=True)
    async def sizes(self, message: AskSizes) -> Sizes:
        asked = {self._parts.dataset(volume): volume for volume in message.volumes}
        return Sizes(
            tuple(
                VolumeSize(
                    asked[each.name],
                    each.referenced_bytes,
                    each.quota_bytes or each.total_quota_bytes,
                    each.snapshots_bytes,
                )
                for each in await self._parts.zfs.sizes(self._parts.config.root_dataset)
                if each.name in asked
            )
        )

    @handles(TakeSnapshots)
    async def snapshot(self, message: TakeSnapshots) -> SnapshotsTaken:
        """All of them at one instant (zrepl 634: a database's data and its log belong together)."""
        await self._parts.in_operation(message.operation_id, message.position)
        name = names.snapshot(message.operation_id, message.round)
        datasets = {self._parts.dataset(volume): volume for volume in message.volumes}

        async def take() -> VolumesSnapshotTaken:
            taken = await self._parts.zfs.snapshot(tuple(datasets), name)
            return VolumesSnapshotTaken(
                tuple(SnapshotTaken(datasets[each], name, found.guid) for each, found in sorted(taken.items()))
            )

        outcome = await self._parts.journal.perform(
            message.operation_id,
            names.step("snapshot", name),
            f"operation/{message.operation_id}",
            ", ".join(map(str, message.volumes)),
            take,
        )
        return SnapshotsTaken(outcome.snapshots)
