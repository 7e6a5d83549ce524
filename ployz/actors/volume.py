"""The volume actor: one volume's dataset on one machine, whoever owns it.

It mounts only for a workload actor whose gate is open, and touches nothing that its epoch does not prove to be older.
"""

from __future__ import annotations

from functools import partial

import anyio
from attrs import define

from ployz.actors.core import Actor, handles
from ployz.actors.messages.storage import (
    BeginReceive,
    CancelTransfer,
    DestroyVolume,
    EndReceive,
    EnsureVolume,
    EstimateSend,
    Mounted,
    MountVolume,
    ReadProgress,
    ReceiveDone,
    ReceiveReady,
    SendDone,
    SendEstimate,
    SendProgress,
    SendVolume,
    SettleVolume,
    UnmountVolume,
)
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.config import ASK_TIMEOUT_S, TRANSFER_TIMEOUT_S
from ployz.errors import Code, Failed, Refused
from ployz.events.types import (
    ReceivePrepared,
    VolumeCreated,
    VolumeDestroyed,
    VolumeMounted,
    VolumeReceived,
    VolumeSent,
    VolumeUnmounted,
)
from ployz.host.ports import DatasetState
from ployz.ids import OperationId, VolumeRef
from ployz.plan import committed, names, settle
from ployz.plan.reports import SnapshotReport, common_base
from ployz.projections.operations import Status
from ployz.wire.message import Done
from ployz.wire.streams import Awaited, Sent


@define
class _Sending:
    """A send of this volume that runs now."""

    scope: anyio.CancelScope
    sent_bytes: int = 0


class VolumeActor(Actor):
    """`volume/NAMESPACE/VOLUME`."""

    def __init__(self, parts: Parts, volume: VolumeRef) -> None:
        self._parts = parts
        self._volume = volume
        self._dataset = parts.dataset(volume)
        self._namespace = self._dataset.rpartition("/")[0]
        self._stream = f"volume/{volume}"
        self._sending: dict[OperationId, _Sending] = {}
        self._receiving: dict[tuple[OperationId, int], Awaited] = {}

    # ------------------------------------------------------------ making and removing

    @handles(EnsureVolume)
    async def ensure(self, message: EnsureVolume) -> Done:
        await self._parts.in_operation(message.operation_id, message.position)
        if message.create:
            await self._parts.journal.perform(
                message.operation_id,
                names.step("create", self._volume),
                self._stream,
                self._dataset,
                lambda: self._create(message),
            )
        else:
            await self._parts.zfs.set(self._dataset, {"quota": _quota(message.quota_bytes)})
        return Done()

    async def _create(self, message: EnsureVolume) -> VolumeCreated:
        zfs = self._parts.zfs
        if await zfs.state(self._dataset) is None:
            properties = {
                "canmount": "noauto",
                "quota": _quota(message.quota_bytes),
                names.PROPERTY_EPOCH: "0",
                names.PROPERTY_OPERATION: message.operation_id,
            }
            await zfs.create(self._dataset, properties)
        mountpoint = await self._mount()
        await self._parts.folders.own(mountpoint, mode=_mode(message.mode), owner=_owner(message.owner))
        return VolumeCreated(self._volume, self._dataset)

    @handles(DestroyVolume)
    async def destroy(self, message: DestroyVolume) -> Done:
        await self._parts.mirror.wait_for(message.position, ASK_TIMEOUT_S)
        if message.volume in self._parts.view.placement.volumes:
            raise Refused(Code.VOLUME_IN_USE, f"volume {message.volume} is not removed: the facts still name its owner")
        await self._destroy("the volume was removed")
        return Done()

    async def _destroy(self, reason: str) -> None:
        found = await self._parts.zfs.state(self._dataset)
        if found is None:
            return
        await self._parts.zfs.unmount(self._dataset)
        for snapshot in found.snapshots:
            await self._parts.zfs.release(self._dataset, snapshot.name, names.HOLD_TAG)
        await self._parts.zfs.destroy(self._dataset)
        await self._remove_empty_namespace()
        await self._parts.journal.record(self._stream, VolumeDestroyed(self._volume, self._dataset, reason))

    async def _remove_empty_namespace(self) -> None:
        zfs = self._parts.zfs
        if await zfs.state(self._namespace) is not None and not await zfs.children(self._namespace):
            await zfs.destroy(self._namespace)

    # ------------------------------------------------------------ mounting

    @handles(MountVolume)
    async def mount(self, message: MountVolume) -> Mounted:
        mountpoint = await self._mount()
        await self._parts.journal.record(
            self._stream, VolumeMounted(self._volume, mountpoint), operation_id=message.operation_id
        )
        return Mounted(mountpoint)

    async def _mount(self) -> str:
        mountpoint = self._parts.mountpoint(self._volume)
        await self._parts.folders.ensure(mountpoint)
        await self._parts.zfs.mount(self._dataset, mountpoint, readonly=False)
        return mountpoint

    @handles(UnmountVolume)
    async def unmount(self, message: UnmountVolume) -> Done:
        await self._parts.journal.perform(
            message.operation_id,
            names.step("unmount", self._volume),
            self._stream,
            self._dataset,
            self._unmount,
        )
        return Done()

    async def _unmount(self) -> VolumeUnmounted:
        """Gone from every mount namespace (moby 24403), and read-only for whoever mounts it by hand."""
        await self._parts.zfs.unmount(self._dataset)
        await self._parts.zfs.set(self._dataset, {"readonly": "on"})
        return VolumeUnmounted(self._volume)

    # ------------------------------------------------------------ sending

    @handles(EstimateSend)
    async def estimate(self, message: EstimateSend) -> SendEstimate:
        return SendEstimate(await self._parts.zfs.estimate_bytes(self._dataset, message.base, None))

    @handles(SendVolume, concurrent=True)
    async def send(self, message: SendVolume) -> SendDone:
        await self._parts.in_operation(message.operation_id, message.position)
        sending = _Sending(anyio.CancelScope())
        self._sending[message.operation_id] = sending
        try:
            with sending.scope:
                outcome = await self._parts.journal.perform(
                    message.operation_id,
                    names.step("send", self._volume, message.round),
                    self._stream,
                    f"{message.base or 'nothing'} to {message.snapshot}, to {message.target}",
                    lambda: self._send(message, sending),
                )
                return SendDone(outcome.sent_bytes, outcome.duration_ms)
        finally:
            del self._sending[message.operation_id]
        raise Failed(Code.STREAM_FAILED, f"the send of {self._volume} was cancelled by its coordinator")

    async def _send(self, message: SendVolume, sending: _Sending) -> VolumeSent:
        def progress(sent_bytes: int) -> None:
            sending.sent_bytes = sent_bytes

        async def stream() -> Sent:
            argv = self._parts.zfs.send_argv(self._dataset, message.base, message.snapshot)
            return await self._parts.streams.send(message.ticket, argv, on_progress=progress)

        # Held while they are sent from, so that nothing prunes them (sanoid 525), and beside the send: the last one
        # stands in the cut-over.
        holds = [
            partial(self._parts.zfs.hold, self._dataset, name, names.HOLD_TAG)
            for name in filter(None, (message.base, message.snapshot))
        ]
        sent, *_ = await together(stream, *holds)
        return VolumeSent(
            self._volume, message.target, message.base, message.snapshot, sent.bytes_count, sent.duration_ms
        )

    @handles(ReadProgress, concurrent=True)
    async def progress(self, message: ReadProgress) -> SendProgress:
        sending = self._sending.get(message.operation_id)
        return SendProgress(sending.sent_bytes if sending else 0)

    @handles(CancelTransfer, concurrent=True)
    async def cancel(self, message: CancelTransfer) -> Done:
        self._end_transfers(message.operation_id)
        return Done()

    def _end_transfers(self, operation_id: OperationId) -> None:
        if (sending := self._sending.get(operation_id)) is not None:
            sending.scope.cancel()
        for key in [key for key in self._receiving if key[0] == operation_id]:
            self._receiving.pop(key).cancel()

    # ------------------------------------------------------------ receiving

    @handles(BeginReceive)
    async def begin_receive(self, message: BeginReceive) -> ReceiveReady:
        await self._parts.in_operation(message.operation_id, message.position)
        if (other := self._receiving.pop((message.operation_id, message.round), None)) is not None:
            other.cancel()
        prepared = await self._parts.journal.perform(
            message.operation_id,
            names.step("prepare", self._volume, message.round),
            self._stream,
            f"{message.snapshot} from {message.source}",
            lambda: self._prepare(message),
        )
        expectation = self._parts.streams.expect(
            f"{message.operation_id} {self._volume} {message.round}",
            self._parts.zfs.receive_argv(self._dataset),
            deadline_s=TRANSFER_TIMEOUT_S,
        )
        self._receiving[message.operation_id, message.round] = expectation
        return ReceiveReady(prepared.base, expectation.ticket)

    async def _prepare(self, message: BeginReceive) -> ReceivePrepared:
        """Onto the newest common snapshot. What this operation did not make must be proven older by its epoch."""
        found = await self._parts.zfs.state(self._dataset)
        if found is None:
            return await self._prepare_full()
        touch = self._parts.local.touch(self._volume)
        if touch is None or touch.operation_id != message.operation_id:
            self._check_older(found, message.epoch)
        ours = tuple(SnapshotReport(each.name, each.guid) for each in found.snapshots)
        base = common_base(message.bases, ours)
        if base is None:
            await self._destroy("an older epoch without a snapshot in common with the owner")
            return await self._prepare_full()
        name = next(each.name for each in found.snapshots if each.guid == base.guid)
        await self._parts.zfs.unmount(self._dataset)
        await self._parts.zfs.rollback(self._dataset, name)
        return ReceivePrepared(self._volume, base=name, rolled_back=True)

    async def _prepare_full(self) -> ReceivePrepared:
        """A receive makes the dataset, but not what it lies below."""
        if await self._parts.zfs.state(self._namespace) is None:
            await self._parts.zfs.create(self._namespace, {"canmount": "off"})
        return ReceivePrepared(self._volume, base=None, rolled_back=False)

    def _check_older(self, found: DatasetState, epoch: int) -> None:
        theirs = epoch_of(found)
        if not 0 < theirs < epoch:
            raise Refused(
                Code.DATASET_IN_THE_WAY,
                f"{self._parts.me} has a dataset of {self._volume} at epoch {theirs}, which does not prove that it is "
                f"older than the owner's ({epoch})",
                "Look at it there, and rename or destroy it.",
            )

    @handles(EndReceive, concurrent=True)
    async def end_receive(self, message: EndReceive) -> ReceiveDone:
        await self._parts.in_operation(message.operation_id, message.position)
        outcome = await self._parts.journal.perform(
            message.operation_id,
            names.step("receive", self._volume, message.round),
            self._stream,
            f"{message.snapshot} from {message.source}",
            lambda: self._compare(message),
        )
        return ReceiveDone(outcome.guid)

    async def _compare(self, message: EndReceive) -> VolumeReceived:
        expectation = self._receiving.get((message.operation_id, message.round))
        if expectation is not None:
            await expectation.result()
            self._receiving.pop((message.operation_id, message.round), None)
        found = await self._parts.zfs.state(self._dataset)
        snapshot = found.snapshot(message.snapshot) if found else None
        if snapshot is None or snapshot.guid != message.guid:
            there = f"guid {snapshot.guid}" if snapshot else "nothing"
            raise Failed(
                Code.GUID_MISMATCH,
                f"{self._volume}@{message.snapshot} should have arrived with guid {message.guid}, and there is {there}",
            )
        if message.round == 1:
            await self._make_mountable()
        return VolumeReceived(self._volume, message.source, message.snapshot, snapshot.guid)

    async def _make_mountable(self) -> None:
        """While the service still runs elsewhere: what the mount in the cut-over would otherwise have to set first.

        In this order: without `canmount`, setting the mountpoint mounts.
        """
        mountpoint = self._parts.mountpoint(self._volume)
        await self._parts.zfs.set(self._dataset, {"canmount": "noauto", "readonly": "off", "mountpoint": mountpoint})

    # ------------------------------------------------------------ agreeing with the facts

    @handles(SettleVolume)
    async def agree(self, message: SettleVolume) -> Done:  # noqa: ARG002 - it has nothing to say but "now"
        for operation_id in {*self._sending, *(key[0] for key in self._receiving)}:
            if self._parts.view.operations.status(operation_id) is not Status.UNDECIDED:
                self._end_transfers(operation_id)
        found = await self._parts.zfs.state(self._dataset)
        if found is None:
            await self._remove_empty_namespace()
        owned = self._parts.view.placement.volumes.get(self._volume)
        base = self._parts.view.placement.base(self._volume)
        touch = self._parts.local.touch(self._volume)
        actions = settle.settle_volume(
            self._volume,
            owned if owned is not None and owned.owner == self._parts.me else None,
            None
            if found is None
            else settle.FoundDataset(
                volume=self._volume,
                epoch=epoch_of(found),
                mounted=found.mounted_at is not None,
                readonly=found.readonly,
                snapshots=tuple(each.name for each in found.snapshots if names.is_ours(each.name)),
                touched_by=touch.operation_id if touch else None,
                touched_base=touch.base if touch else None,
            ),
            base=base.snapshot if base else None,
            operation_of=names.operation_of_snapshot,
            status_of=self._parts.view.operations.status,
        )
        for action in actions:
            await self._act(action)
        return Done()

    async def _act(self, action: settle.VolumeAction) -> None:
        zfs = self._parts.zfs
        match action:
            case settle.Adopt(_, epoch):
                declared = committed.volume(self._parts.view, self._volume)
                await zfs.set(
                    self._dataset,
                    {
                        "canmount": "noauto",
                        "readonly": "off",
                        "quota": _quota((declared and declared.quota_bytes) or 0),
                        names.PROPERTY_EPOCH: str(epoch),
                    },
                )
            case settle.Retire():
                await zfs.unmount(self._dataset)
                await zfs.set(self._dataset, {"readonly": "on"})
            case settle.DiscardPartial(_, None):
                await self._destroy("its operation did not commit it")
            case settle.DiscardPartial(_, str(base)):
                await zfs.unmount(self._dataset)
                await zfs.rollback(self._dataset, base)
            case settle.Prune(_, snapshots):
                for name in snapshots:
                    await zfs.release(self._dataset, name, names.HOLD_TAG)
                    await zfs.destroy_snapshot(self._dataset, name)
            case settle.Missing(problem):
                raise Failed(problem.code, problem.text, problem.advice)


def epoch_of(found: DatasetState) -> int:
    """0: none, or one that is no number and proves nothing."""
    text = found.properties.get(names.PROPERTY_EPOCH.partition(":")[2], "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _mode(text: str) -> int | None:
    return int(text, 8) if text else None


def _owner(text: str) -> tuple[int, int] | None:
    uid, _, gid = text.partition(":")
    return (int(uid), int(gid)) if text else None


def _quota(quota_bytes: int) -> str:
    return str(quota_bytes) if quota_bytes else "none"
