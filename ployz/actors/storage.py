"""The storage actor: what concerns several volumes of a machine at once, and the root they lie below."""

from __future__ import annotations

import logging

from ployz.actors.core import Actor, handles
from ployz.actors.messages.storage import SnapshotsTaken, TakeSnapshots
from ployz.actors.parts import Parts
from ployz.errors import PloyzError
from ployz.events.types import SnapshotTaken, VolumesSnapshotTaken
from ployz.plan import names

_log = logging.getLogger("ployz.storage")


class StorageActor(Actor):
    """`storage`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def started(self) -> None:
        root = self._parts.config.root_dataset
        if await self._parts.zfs.state(root) is None:
            # Never mounted by itself: a received dataset inherits this (zfs-fuse has no `receive -u`).
            await self._parts.zfs.create(root, {"mountpoint": "none", "canmount": "off"})
        try:
            await self._parts.zfs.sweep(self._parts.config.pool)
        except PloyzError as error:
            _log.warning("what a digest left behind is not removed yet: %s", error)

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
