"""Receiving one volume from its owner, round by round, each checked by guid before it counts.

Nothing is forced: what this operation did not make is rolled back or replaced only when its epoch proves it older.
"""

from __future__ import annotations

from ployz.actors.dataset import VolumeDataset, epoch_of
from ployz.actors.messages.storage import BeginReceive, EndReceive, ReceiveDone, ReceiveReady
from ployz.config import TRANSFER_TIMEOUT_S
from ployz.errors import Code, Failed, Refused
from ployz.events.types import ReceivePrepared, VolumeReceived
from ployz.host.ports import DatasetState
from ployz.ids import OperationId
from ployz.plan import names
from ployz.plan.reports import SnapshotReport, common_base
from ployz.wire.streams import Awaited


class Receiving:
    def __init__(self, dataset: VolumeDataset) -> None:
        self._dataset = dataset
        self._awaited: dict[tuple[OperationId, int], Awaited] = {}

    @property
    def operations(self) -> set[OperationId]:
        return {operation_id for operation_id, _ in self._awaited}

    def end(self, operation_id: OperationId) -> None:
        for key in [key for key in self._awaited if key[0] == operation_id]:
            self._awaited.pop(key).cancel()

    # ------------------------------------------------------------ before the stream

    async def begin(self, message: BeginReceive) -> ReceiveReady:
        key = (message.operation_id, message.round)
        if (earlier := self._awaited.pop(key, None)) is not None:
            await earlier.end()
        prepared = await self._dataset.parts.journal.perform(
            message.operation_id,
            names.step("prepare", self._dataset.volume, message.round, message.attempt),
            self._dataset.stream,
            f"{message.snapshot} from {message.source}",
            lambda: self._prepare(message),
        )
        zfs = self._dataset.parts.zfs
        partial = await self._dataset.state() if prepared.resumed else None
        self._awaited[key] = self._dataset.parts.streams.expect(
            f"{message.operation_id} {self._dataset.volume} {message.round}",
            zfs.receive_argv(self._dataset.name, resumable=(await zfs.features()).resume),
            deadline_s=TRANSFER_TIMEOUT_S,
        )
        # The two sides may have different names for it: the sender is told its own.
        base = next((each.name for each in message.bases if each.guid == prepared.base_guid), None)
        return ReceiveReady(base, self._awaited[key].ticket, partial.resume_token if partial else None)

    async def _prepare(self, message: BeginReceive) -> ReceivePrepared:
        """Onto the newest common snapshot; or into nothing, when there is none. Or onto what an attempt of this very
        round has left.
        """
        zfs, volume = self._dataset.parts.zfs, self._dataset.volume
        found = await self._dataset.state()
        resumed = False
        if found is not None:
            self._check_may_change(found, message)
            resumed = message.resumes and found.resume_token is not None
            found = found if resumed else await self._dataset.drop_partial()
        there = found.snapshots if found else ()
        base = common_base(message.bases, (SnapshotReport(each.name, each.guid) for each in there))
        name = next((each.name for each in there if base is not None and each.guid == base.guid), None)
        if name is None and message.increment:
            raise Failed(
                Code.DATASET_IN_THE_WAY,
                f"{self._dataset.parts.me} has no snapshot of {volume} any more that its owner has, too",
                "Somebody destroyed it there: look who does, and move again.",
            )
        if name is None and not resumed:
            await self._dataset.destroy("an older epoch without a snapshot in common with the owner")
            await self._dataset.make_room()
        elif found is not None and name is not None and not resumed:
            await zfs.unmount(self._dataset.name)
            await zfs.rollback(self._dataset.name, name)
            await self._dataset.make_a_copy(found)
        return ReceivePrepared(
            volume,
            base=name,
            base_guid=base.guid if base else None,
            rolled_back=name is not None and not resumed,
            resumed=resumed,
        )

    def _check_may_change(self, found: DatasetState, message: BeginReceive) -> None:
        touch = self._dataset.parts.local.touch(self._dataset.volume)
        if touch is not None and touch.operation_id == message.operation_id:
            return
        epoch = epoch_of(found)
        if not 0 < epoch < message.epoch:
            raise Refused(
                Code.DATASET_IN_THE_WAY,
                f"{self._dataset.parts.me} has a dataset of {self._dataset.volume} at epoch {epoch}, which does not "
                f"prove that it is older than the owner's ({message.epoch})",
                "Look at it there, and put it elsewhere: zfs rename.",
            )

    # ------------------------------------------------------------ after the stream

    async def finish(self, message: EndReceive) -> ReceiveDone:
        outcome = await self._dataset.parts.journal.perform(
            message.operation_id,
            names.step("receive", self._dataset.volume, message.round),
            self._dataset.stream,
            f"{message.snapshot} from {message.source}",
            lambda: self._compare(message),
        )
        return ReceiveDone(outcome.guid)

    async def _compare(self, message: EndReceive) -> VolumeReceived:
        """A send can be silently wrong, and zfs-fuse takes an increment for another dataset with exit code 0."""
        key = (message.operation_id, message.round)
        if (awaited := self._awaited.get(key)) is not None:
            await awaited.result()
            self._awaited.pop(key, None)
        found = await self._dataset.state()
        snapshot = found.snapshot(message.snapshot) if found else None
        if snapshot is None or snapshot.guid != message.guid:
            there = f"guid {snapshot.guid}" if snapshot else "nothing"
            raise Failed(
                Code.GUID_MISMATCH,
                f"{self._dataset.volume}@{message.snapshot} should have arrived with guid {message.guid}, "
                f"and there is {there}",
            )
        if message.round == 1:
            await self._dataset.make_mountable(message.settings)
        return VolumeReceived(self._dataset.volume, message.source, message.snapshot, snapshot.guid)
