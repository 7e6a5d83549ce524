"""The volume actor: one volume on one machine, whoever owns it. Its handlers; what they do is in dataset, sending and
receiving.

It mounts only for a workload actor whose gate is open.
"""

from __future__ import annotations

from ployz.actors.core import Actor, handles
from ployz.actors.dataset import VolumeDataset, epoch_of
from ployz.actors.messages.machine import Ping
from ployz.actors.messages.storage import (
    BeginReceive,
    CancelTransfer,
    CreateVolume,
    DestroyCopy,
    DestroyVolume,
    Digest,
    DigestSnapshot,
    EndReceive,
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
    VolumeSettled,
)
from ployz.actors.parts import Parts
from ployz.actors.receiving import Receiving
from ployz.actors.sending import Sending
from ployz.actors.verifying import Verifying
from ployz.config import ASK_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import Code, Failed, PloyzError, Problem, Refused
from ployz.events.types import VolumeMounted
from ployz.host.ports import DatasetState
from ployz.ids import MachineId, OperationId, VolumeRef
from ployz.plan import names, settle
from ployz.plan.settle.by_facts import decide_volume
from ployz.projections.operations import Status
from ployz.wire.message import Done


class VolumeActor(Actor):
    """`volume/NAMESPACE/VOLUME`."""

    def __init__(self, parts: Parts, volume: VolumeRef) -> None:
        self._parts = parts
        self._volume = volume
        self._dataset = VolumeDataset(parts, volume)
        self._sending = Sending(self._dataset)
        self._receiving = Receiving(self._dataset)
        self._verifying = Verifying(self._dataset)

    # ------------------------------------------------------------ making and removing

    @handles(CreateVolume)
    async def create(self, message: CreateVolume) -> Done:
        await self._parts.in_operation(message.operation_id, message.position)
        await self._parts.journal.perform(
            message.operation_id,
            names.step("create", self._volume),
            self._dataset.stream,
            self._dataset.name,
            lambda: self._dataset.create(
                message.operation_id,
                quota_bytes=message.quota_bytes,
                mode=int(message.mode, 8) if message.mode else None,
                owner=_owner(message.owner),
                settings=message.settings,
            ),
        )
        return Done()

    @handles(DestroyVolume)
    async def destroy(self, message: DestroyVolume) -> Done:
        await self._parts.mirror.wait_for(message.position, ASK_TIMEOUT_S)
        if message.volume in self._parts.view.placement.volumes:
            raise Refused(Code.VOLUME_IN_USE, f"volume {message.volume} is not removed: the facts still name its owner")
        await self._dataset.destroy("the volume was removed")
        return Done()

    @handles(DestroyCopy)
    async def destroy_copy(self, message: DestroyCopy) -> Done:
        await self._parts.mirror.wait_for(message.position, ASK_TIMEOUT_S)
        view = self._parts.view
        owned = view.placement.volumes.get(message.volume)
        if owned is None or owned.owner == self._parts.me:
            raise Refused(Code.VOLUME_IN_USE, f"volume {message.volume} is owned by {self._parts.me}, by the facts")
        if any(each.namespace == message.volume.namespace for each in view.operations.undecided()):
            raise Refused(Code.LOCK_HELD, f"an operation in {message.volume.namespace} is undecided", "Try again then.")
        await self._dataset.destroy("an operator dropped the copy")
        return Done()

    # ------------------------------------------------------------ mounting

    @handles(MountVolume)
    async def mount(self, message: MountVolume) -> Mounted:
        await self._check_is_it()
        mountpoint = await self._dataset.mount()
        await self._parts.journal.record(
            self._dataset.stream, VolumeMounted(self._volume, mountpoint), operation_id=message.operation_id
        )
        return Mounted(mountpoint)

    async def _check_is_it(self) -> None:
        """Its owner mounts it when the dataset has proved to be the volume: after a takeover it has gone back to what
        was given, and what was replaced by hand is not the volume.
        """
        owned = self._parts.view.placement.volumes.get(self._volume)
        if owned is None or owned.owner != self._parts.me:
            return
        found = await self._dataset.state()
        if found is None or epoch_of(found) != owned.epoch:
            has = "no dataset" if found is None else f"a dataset of epoch {epoch_of(found)}"
            raise Failed(
                Code.UNKNOWN_VOLUME,
                f"volume {self._volume} is owned by {self._parts.me} at epoch {owned.epoch}, which has {has} for it",
                f"The log of ployzd on {self._parts.me} says what it lacks.",
            )

    @handles(UnmountVolume)
    async def unmount(self, message: UnmountVolume) -> Done:
        await self._parts.journal.perform(
            message.operation_id,
            names.step("unmount", self._volume),
            self._dataset.stream,
            self._dataset.name,
            self._dataset.unmount,
        )
        return Done()

    # ------------------------------------------------------------ sending and receiving

    @handles(EstimateSend)
    async def estimate(self, message: EstimateSend) -> SendEstimate:
        return SendEstimate(await self._parts.zfs.estimate_bytes(self._dataset.name, message.base, None))

    @handles(SendVolume, concurrent=True)
    async def send(self, message: SendVolume) -> SendDone:
        await self._parts.in_operation(message.operation_id, message.position)
        return await self._sending.send(message)

    @handles(ReadProgress, concurrent=True)
    async def progress(self, message: ReadProgress) -> SendProgress:
        return self._sending.progress(message.operation_id)

    @handles(BeginReceive)
    async def begin_receive(self, message: BeginReceive) -> ReceiveReady:
        await self._parts.in_operation(message.operation_id, message.position)
        return await self._receiving.begin(message)

    @handles(EndReceive, concurrent=True)
    async def end_receive(self, message: EndReceive) -> ReceiveDone:
        await self._parts.in_operation(message.operation_id, message.position)
        return await self._receiving.finish(message)

    @handles(DigestSnapshot, concurrent=True)
    async def digest(self, message: DigestSnapshot) -> Digest:
        await self._parts.in_operation(message.operation_id, message.position)
        return await self._verifying.digest(message)

    @handles(CancelTransfer, concurrent=True)
    async def cancel(self, message: CancelTransfer) -> Done:
        self._end(message.operation_id)
        return Done()

    def _end(self, operation_id: OperationId) -> None:
        self._sending.end(operation_id)
        self._receiving.end(operation_id)
        self._verifying.end(operation_id)

    # ------------------------------------------------------------ agreeing with the facts

    @handles(SettleVolume)
    async def agree(self, message: SettleVolume) -> VolumeSettled:  # noqa: ARG002 - it has nothing to say but "now"
        view = self._parts.view
        for operation_id in self._sending.operations | self._receiving.operations | self._verifying.operations:
            if view.operations.status(operation_id) is not Status.UNDECIDED:
                self._end(operation_id)
        found = await self._dataset.state()
        if found is None:
            await self._dataset.remove_empty_namespace()
        owned = view.placement.volumes.get(self._volume)
        seen = self._dataset.seen(found) if found is not None else None
        actions = decide_volume(view, self._parts.me, self._volume, seen)
        late: list[Problem] = []
        for action in actions:
            try:
                is_discarded = isinstance(action, settle.DiscardPartial) and not _is_a_beginning(found)
                if is_discarded and owned is not None and owned.owner in view.machines.members:
                    await self._check_not_the_last(owned.owner)
                await self._dataset.carry_out(action)
            except PloyzError as error:
                if isinstance(action, settle.Adopt | settle.TakeOver | settle.Missing):
                    raise
                late.append(error.problem)
        return VolumeSettled(tuple(late))

    async def _check_not_the_last(self, owner: MachineId) -> None:
        """A copy that was not committed is worth nothing beside its owner's, and a lot without it."""
        try:
            await self.system.remote(owner, "machine").ask(Ping(), timeout_s=PROBE_TIMEOUT_S)
        except PloyzError as error:
            raise Failed(
                Code.MACHINE_UNREACHABLE,
                f"the unfinished copy of {self._volume} is kept while its owner {owner} does not answer: it may be the "
                f"newest there is ({error.problem.text})",
                f"It goes when {owner} is back.",
            ) from error


def _is_a_beginning(found: DatasetState | None) -> bool:
    """Of a first stream, which the pool has kept: without a snapshot, nobody could read it."""
    return found is not None and found.resume_token is not None and not found.snapshots


def _owner(text: str) -> tuple[int, int] | None:
    uid, _, gid = text.partition(":")
    return (int(uid), int(gid)) if text else None
