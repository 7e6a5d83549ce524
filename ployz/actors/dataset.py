"""The dataset of one volume on one machine, and the effects on it: made, mounted, adopted, retired, destroyed.

Nothing here decides. What a dataset may be turned into is plan/settle's word, and proven by its epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from ployz.actors.parts import Parts
from ployz.errors import Code, Failed, PloyzError, Refused
from ployz.events.types import VolumeCreated, VolumeDestroyed, VolumeSetAside, VolumeUnmounted
from ployz.host.ports import DatasetState
from ployz.ids import OperationId, VolumeRef
from ployz.plan import names, properties, settle
from ployz.plan.properties import Setting

EPOCH: Final = names.PROPERTY_EPOCH.removeprefix("ployz:")
OPERATION: Final = names.PROPERTY_OPERATION.removeprefix("ployz:")
OWNERS_AUTO_SNAPSHOT: Final = names.PROPERTY_OWNERS_AUTO_SNAPSHOT.removeprefix("ployz:")
"""As `DatasetState.properties` names them."""


@define
class VolumeDataset:
    parts: Parts
    volume: VolumeRef
    name: str = field(init=False)
    namespace: str = field(init=False)
    """The dataset that it lies below, with the other volumes of its namespace."""
    stream: str = field(init=False)
    """In the log."""

    def __attrs_post_init__(self) -> None:
        self.name = self.parts.dataset(self.volume)
        self.namespace = self.name.rpartition("/")[0]
        self.stream = f"volume/{self.volume}"

    async def state(self) -> DatasetState | None:
        return await self.parts.zfs.state(self.name)

    # ------------------------------------------------------------ making and removing

    async def create(
        self,
        operation_id: OperationId,
        *,
        quota_bytes: int,
        mode: int | None,
        owner: tuple[int, int] | None,
        settings: Sequence[Setting],
    ) -> VolumeCreated:
        """At epoch 0: what no commit has named yet. `Refused` (DATASET_IN_THE_WAY): somebody else's is there."""
        found = await self.state()
        if found is not None and found.properties.get(OPERATION) != operation_id:
            raise Refused(
                Code.DATASET_IN_THE_WAY,
                f"{self.parts.me} has a dataset {self.name} already, which this operation did not make",
                "Look at it there, and put it elsewhere: zfs rename.",
            )
        if found is None:
            properties = {
                "canmount": "noauto",
                "refquota": quota(quota_bytes),
                **{each.name: each.value for each in settings},
                names.PROPERTY_EPOCH: "0",
                names.PROPERTY_OPERATION: operation_id,
            }
            await self.parts.zfs.create(self.name, properties)
        mountpoint = await self.mount()
        await self.parts.folders.own(mountpoint, mode=mode, owner=owner)
        return VolumeCreated(self.volume, self.name)

    async def make_room(self) -> None:
        """A receive makes the dataset, but not what it lies below."""
        if await self.parts.zfs.state(self.namespace) is None:
            await self.parts.zfs.create(self.namespace, {"canmount": "off"})

    async def drop_partial(self) -> DatasetState | None:
        """What a receive that was broken off has left here goes. The state after that."""
        found = await self.state()
        if found is None or found.resume_token is None:
            return found
        await self.parts.zfs.abort_receive(self.name)
        return await self.state()

    async def destroy(self, reason: str) -> None:
        found = await self.state()
        if found is None:
            return
        if found.resume_token is not None:
            await self.parts.zfs.abort_receive(
                self.name
            )  # may be all of it: the rest minds that as little as a second time
        await self.parts.zfs.unmount(self.name)
        for snapshot in found.snapshots:
            await self.parts.zfs.release(self.name, snapshot.name, names.HOLD_TAG)
        await self.parts.zfs.destroy(self.name)
        await self.remove_empty_namespace()
        await self.parts.journal.record(self.stream, VolumeDestroyed(self.volume, self.name, reason))

    async def remove_empty_namespace(self) -> None:
        zfs = self.parts.zfs
        if await zfs.state(self.namespace) is not None and not await zfs.children(self.namespace):
            await zfs.destroy(self.namespace)

    # ------------------------------------------------------------ mounting

    async def mount(self) -> str:
        """Where it is mounted now, writable."""
        mountpoint = self.parts.mountpoint(self.volume)
        await self.parts.folders.ensure(mountpoint)
        await self.parts.zfs.mount(self.name, mountpoint, readonly=False)
        return mountpoint

    async def make_mountable(self, settings: Sequence[Setting]) -> None:
        """While the service still runs elsewhere: what the mount in the cut-over would otherwise have to set first, and
        `settings`, the properties that the volume has there. What an older move has set here and is gone, goes.

        In this order: without `canmount`, setting the mountpoint mounts.
        """
        mountpoint = self.parts.mountpoint(self.volume)
        await self.parts.zfs.set(self.name, {"canmount": "noauto", "readonly": "off", "mountpoint": mountpoint})
        found = await self.state()
        local = found.local if found is not None else {}
        wanted = {each.name: each for each in settings}
        owners = wanted.pop(names.PROPERTY_AUTO_SNAPSHOT, None)
        gone = {each.name for each in properties.travelling(local)} - wanted.keys() - {names.PROPERTY_AUTO_SNAPSHOT}
        await self.parts.zfs.inherit(self.name, sorted(gone))
        await self._set(properties.lacking(local, wanted.values()))
        await self._mark(owners.value if owners is not None else properties.UNSET)

    async def unmount(self) -> VolumeUnmounted:
        """Gone from every mount namespace (moby 24403), and read-only for whoever mounts it by hand."""
        await self.parts.zfs.unmount(self.name)
        await self.parts.zfs.set(self.name, {"readonly": "on"})
        return VolumeUnmounted(self.volume)

    # ------------------------------------------------------------ agreeing with the facts

    def seen(self, found: DatasetState) -> settle.FoundDataset:
        touch = self.parts.local.touch(self.volume)
        return settle.FoundDataset(
            volume=self.volume,
            epoch=epoch_of(found),
            mounted=found.mounted_at is not None,
            readonly=found.readonly,
            quota_bytes=found.quota_bytes,
            total_quota_bytes=found.total_quota_bytes,
            local=found.local,
            snapshots=tuple(each.name for each in found.snapshots if names.is_ours(each.name)),
            touched_by=touch.operation_id if touch else None,
            touched_base=touch.base if touch else None,
            broken_off=found.resume_token is not None,
            marked=OWNERS_AUTO_SNAPSHOT in found.properties,
        )

    async def carry_out(self, action: settle.VolumeAction) -> None:
        match action:
            case settle.Adopt() | settle.TakeOver() | settle.Tune():
                await self._make_ours(action)
            case settle.Retire():
                await self.unmount()
                if (found := await self.state()) is not None:
                    await self.make_a_copy(found)
            case settle.SetAside(_, operation_id):
                await self._set_aside(operation_id)
            case settle.DiscardPartial(_, base):
                await self._discard(base)
            case settle.AbortReceive():
                await self.drop_partial()
            case settle.Prune(_, snapshots):
                for name in snapshots:
                    await self.parts.zfs.release(self.name, name, names.HOLD_TAG)
                    await self.parts.zfs.destroy_snapshot(self.name, name)
            case settle.Missing(problem):
                raise Failed(problem.code, problem.text, problem.advice)

    async def _make_ours(self, action: settle.Adopt | settle.TakeOver | settle.Tune) -> None:
        match action:
            case settle.Adopt(_, epoch):
                await self._adopt(epoch)
            case settle.TakeOver(_, snapshot, epoch):
                await self._go_back_to(snapshot)
                await self._adopt(epoch)
            case settle.Tune(_, quota_bytes, settings):
                await self._unmark()
                await self._bound(quota_bytes)
                await self._set(settings)

    async def _discard(self, base: str | None) -> None:
        if base is None:
            await self.destroy("its operation did not commit it")
        else:
            await self._go_back_to(base)

    async def _go_back_to(self, snapshot: str) -> None:
        await self.drop_partial()
        await self.parts.zfs.unmount(self.name)
        await self.parts.zfs.rollback(self.name, snapshot)

    async def _set_aside(self, operation_id: OperationId) -> None:
        """With everything that is in it, and its epoch, for an operator to look at."""
        await self.unmount()
        aside = names.aside(self.parts.config.root_dataset, self.volume, operation_id)
        folder = names.asides(self.parts.config.root_dataset)
        await self.parts.zfs.create(folder, {"mountpoint": "none", "canmount": "off"})
        await self.parts.zfs.create(aside.rpartition("/")[0], {"canmount": "off"})
        await self.parts.zfs.rename(self.name, aside)
        await self.remove_empty_namespace()
        await self.parts.journal.record(self.stream, VolumeSetAside(self.volume, aside))

    async def _adopt(self, epoch: int) -> None:
        """No more than what a service needs to run."""
        await self.parts.zfs.set(self.name, {"canmount": "noauto", "readonly": "off", names.PROPERTY_EPOCH: str(epoch)})

    async def _set(self, settings: Sequence[Setting]) -> None:
        for each in settings:
            try:
                await self.parts.zfs.set(self.name, {each.name: each.value})
            except PloyzError as error:
                raise Failed(
                    error.code,
                    f"the dataset of {self.volume} on {self.parts.me} cannot have {each}: {error.problem.text}",
                    f"Give the volume another {each.name}, in its manifest or, where it was set by hand, on its owner.",
                ) from error

    async def _bound(self, quota_bytes: int) -> None:
        """The one that counts snapshots goes last: until the other is there, it bounds the volume."""
        await self.parts.zfs.set(self.name, {"refquota": quota(quota_bytes), "quota": "none"})

    async def _mark(self, owners: str) -> None:
        """What it is on the owner first: one that has that is marked."""
        marks = {names.PROPERTY_OWNERS_AUTO_SNAPSHOT: owners, names.PROPERTY_AUTO_SNAPSHOT: "false"}
        await self.parts.zfs.set(self.name, marks)

    async def _unmark(self) -> None:
        found = await self.state()
        owners = found.properties.get(OWNERS_AUTO_SNAPSHOT) if found is not None else None
        if owners is None:
            return
        if owners == properties.UNSET:
            await self.parts.zfs.inherit(self.name, (names.PROPERTY_AUTO_SNAPSHOT,))
        else:
            await self.parts.zfs.set(self.name, {names.PROPERTY_AUTO_SNAPSHOT: owners})
        await self.parts.zfs.inherit(self.name, (names.PROPERTY_OWNERS_AUTO_SNAPSHOT,))

    async def make_a_copy(self, found: DatasetState) -> None:
        """What bounded it when it was the volume must not bound what is received now. And tools that take snapshots
        leave it alone: one that is taken there ends an increment.
        """
        if found.quota_bytes or found.total_quota_bytes:
            await self._bound(0)
        if OWNERS_AUTO_SNAPSHOT not in found.properties:
            await self._mark(found.local.get(names.PROPERTY_AUTO_SNAPSHOT, properties.UNSET))


def epoch_of(found: DatasetState) -> int:
    """0: none, or one that is no number and proves nothing."""
    text = found.properties.get(EPOCH, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def quota(quota_bytes: int) -> str:
    return str(quota_bytes) if quota_bytes else "none"
