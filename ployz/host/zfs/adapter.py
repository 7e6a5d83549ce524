"""The real adapter of the ZFS port: one method a question or change, each as few processes as it can be.

A `zfs` process costs about 10 ms, and most of these methods are called between the last write on the source and
the first request on the target.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from ployz.errors import Code, Failed
from ployz.host.ports import (
    Dataset,
    DatasetSize,
    DatasetState,
    HangingMount,
    Holder,
    Keep,
    PoolSpace,
    Snapshot,
    ZfsFeatures,
)
from ployz.host.zfs import failures, parse, sizes
from ployz.host.zfs.clones import Clones, is_digests
from ployz.host.zfs.commands import BUSY_PAUSE_S, BUSY_S, Commands, no_pool
from ployz.host.zfs.failures import Says
from ployz.host.zfs.hanging import find_hanging
from ployz.host.zfs.mounts import Mount, mounts_of

WORKING_HEALTHS = frozenset({"ONLINE", "DEGRADED"})

SCRATCH = "ployz-instant"
"""A snapshot of this name lives only within one call."""

NEVER_SET = "ployz:never-set"

_LASTING = "local,default,inherited,received,none"
"""Sources of a property as it is stored. Of a mounted dataset, zfs also shows what its mount was given: `temporary`."""


class SystemZfs:
    """The `zfs` and `zpool` programs on the PATH. Needs root.

    `namespace_pid`: they run in the mount namespace of that process; None: in our own.
    """

    def __init__(self, namespace_pid: int | None = None) -> None:
        self._zfs = Commands(namespace_pid)
        self._clones = Clones(self._zfs)
        self._features: ZfsFeatures | None = None
        self._instant = anyio.Lock()
        """One recursive snapshot at a time: each removes what it took of datasets that were not asked for."""

    # ---------------------------------------------------------------- looking

    async def features(self) -> ZfsFeatures:
        if self._features is None:
            usage = await self._zfs.run("zfs")
            receive = await self._zfs.run("zfs", "receive", "-u")
            self._features = parse.features(usage.stderr.decode(errors="replace"), receive.words)
        return self._features

    async def pool_space(self, pool: str) -> PoolSpace:
        space = await self._zfs.get("used,available", pool)
        health = await self._zfs.look("zpool", "list", "-H", "-o", "health", pool)
        if space is None or health is None:
            raise no_pool(pool)
        used_bytes, free_bytes = parse.number(space[pool], "used"), parse.number(space[pool], "available")
        return PoolSpace(used_bytes + free_bytes, free_bytes, health.strip() in WORKING_HEALTHS, health.strip())

    async def state(self, dataset: Dataset) -> DatasetState | None:
        own = await self._zfs.look("zfs", "get", "-Hp", "-o", "property,value,source", "all", dataset)
        tree = None if own is None else await self._zfs.get_tree(parse.TREE_PROPERTIES, dataset)
        if own is None or tree is None:
            await self._zfs.require_pool(dataset)
            return None
        mounts = self._mounts(dataset)
        mounted_at = mounts[0].mountpoint if mounts else None
        return parse.state(dataset, parse.own_properties(own), tree, mounted_at, parse.local_properties(own))

    async def sizes(self, dataset: Dataset) -> Sequence[DatasetSize]:
        text = await self._zfs.look(
            "zfs", "get", "-Hp", "-r", "-o", "name,property,value", parse.SIZE_PROPERTIES, dataset
        )
        if text is None:
            await self._zfs.require_pool(dataset)
            return ()
        return await anyio.to_thread.run_sync(parse.sizes, text, dataset)

    async def children(self, dataset: Dataset) -> Sequence[Dataset]:
        text = await self._zfs.look("zfs", "list", "-H", "-o", "name", "-t", "filesystem,volume", "-r", dataset)
        if text is None:
            await self._zfs.require_pool(dataset)
            return ()
        return tuple(name for name in text.splitlines() if name != dataset)

    async def holders(self, dataset: Dataset) -> Sequence[Holder]:
        return await self._zfs.holders(dataset)

    # ---------------------------------------------------------------- datasets

    async def create(self, dataset: Dataset, properties: Mapping[str, str]) -> None:
        options = [part for key, value in properties.items() for part in ("-o", f"{key}={value}")]
        argv = ("zfs", "create", "-p", *options, dataset)
        # Of two that need the same parent at once, the second is told that it exists; for itself `-p` never minds.
        if not await self._zfs.change(dataset, *argv, settled=Says.THERE_ALREADY):
            await self._zfs.change(dataset, *argv)

    async def set(self, dataset: Dataset, properties: Mapping[str, str]) -> None:
        settings = [f"{key}={value}" for key, value in properties.items()]
        if len(settings) > 1 and (await self.features()).multi_set:
            await self._zfs.change(dataset, "zfs", "set", *settings, dataset)
        else:
            for each in settings:
                await self._zfs.change(dataset, "zfs", "set", each, dataset)

    async def inherit(self, dataset: Dataset, properties: Sequence[str]) -> None:
        for each in properties:
            await self._zfs.change(dataset, "zfs", "inherit", each, dataset)

    async def rename(self, dataset: Dataset, name: Dataset) -> None:
        if await self._zfs.get("guid", dataset) is None and await self._zfs.get("guid", name) is not None:
            return
        await self._zfs.change(dataset, "zfs", "rename", dataset, name)

    async def destroy(self, dataset: Dataset) -> None:
        children = await self.children(dataset)
        if children:
            raise Failed(Code.ZFS_FAILED, f"{dataset} is not destroyed: it has children: {', '.join(children[:5])}")
        async with self._named(dataset):
            await self._zfs.change(dataset, "zfs", "destroy", "-r", dataset, settled=Says.ABSENT)

    async def mount(self, dataset: Dataset, mountpoint: str, *, readonly: bool) -> None:
        """One process to look and one to mount. Each property that is not yet as asked can cost another.

        `set` of `canmount=noauto`, `readonly` and `mountpoint`, in this order, keeps that out of a cut-over: without
        the first, which a received dataset does not have, setting the last mounts it, as would the next boot.
        """
        wanted = {"canmount": "noauto", "readonly": "on" if readonly else "off", "mountpoint": mountpoint}
        found = await self._zfs.get(",".join(wanted), dataset, options=("-s", _LASTING))
        if found is None:
            raise Failed(Code.ZFS_FAILED, f"cannot mount {dataset}: there is no such dataset")
        missing = {key: value for key, value in wanted.items() if found.get(dataset, {}).get(key) != value}
        if self._mounts(dataset):
            if not missing and self._mounted_as_asked(dataset, mountpoint, readonly=readonly):
                await self._zfs.require_answer(dataset)
                return
            await self.unmount(dataset)  # a mount that began read-only stays so on zfs-fuse, whatever is set
        await self.set(dataset, missing)
        option = ("-o", "ro") if readonly else ()  # else zfs-fuse tells the kernel, and then us, that it is writable
        await self._zfs.change(dataset, "zfs", "mount", *option, dataset, settled=Says.MOUNTED)
        if not self._mounted_as_asked(dataset, mountpoint, readonly=readonly):
            raise Failed(Code.ZFS_FAILED, f"{dataset} is not mounted at {mountpoint} as it was asked for")

    async def unmount(self, dataset: Dataset) -> None:
        if self._mounts(dataset):
            await self._zfs.change(dataset, "zfs", "unmount", dataset, settled=Says.NOT_MOUNTED)
        give_up_at = anyio.current_time() + BUSY_S
        while True:
            mounts, holders = self._mounts(dataset), await self._zfs.holders(dataset)
            if not mounts and not holders:
                return
            if anyio.current_time() >= give_up_at:
                raise failures.busy(dataset, holders, [each.mountpoint for each in mounts])
            await anyio.sleep(BUSY_PAUSE_S)

    async def hanging_mounts(self, pool: str) -> Sequence[HangingMount]:
        find = partial(find_hanging, pool, self._zfs.own_process, by_daemon=self._zfs.turns.are_needed())
        return await anyio.to_thread.run_sync(find)

    # ---------------------------------------------------------------- snapshots

    async def snapshot(self, datasets: Sequence[Dataset], name: str) -> Mapping[Dataset, Snapshot]:
        names = {dataset: f"{dataset}@{name}" for dataset in datasets}
        if not names:
            return {}
        if len(names) == 1 or (await self.features()).multi_snapshot:
            await self._zfs.change(datasets[0], "zfs", "snapshot", *names.values(), settled=Says.THERE_ALREADY)
        else:
            async with self._instant:
                await self._snapshot_beneath(names)
        found = await self._zfs.get(parse.TREE_PROPERTIES, *names.values())
        if found is None or len({values["createtxg"] for values in found.values()}) > 1:
            raise Failed(
                Code.ZFS_FAILED,
                f"{', '.join(names.values())} are not of one instant: some were there before",
                "Take the snapshot under a name that none of them has.",
            )
        return {dataset: parse.snapshot(name, found[full]) for dataset, full in names.items()}

    async def destroy_snapshot(self, dataset: Dataset, name: str) -> None:
        full = f"{dataset}@{name}"
        found = await self._zfs.get("userrefs", full)
        if found is None:
            return
        if parse.number(found[full], "userrefs"):
            kept = [each for each in await self.keeps(dataset) if each.snapshot == name]
            raise failures.kept(dataset, kept)
        async with self._named(dataset):
            await self._zfs.change(dataset, "zfs", "destroy", full, settled=Says.ABSENT)

    async def hold(self, dataset: Dataset, name: str, tag: str) -> None:
        await self._zfs.change(dataset, "zfs", "hold", tag, f"{dataset}@{name}", settled=Says.THERE_ALREADY)

    async def release(self, dataset: Dataset, name: str, tag: str) -> None:
        await self._zfs.change(dataset, "zfs", "release", tag, f"{dataset}@{name}", settled=Says.NOT_HELD)

    async def keeps(self, dataset: Dataset) -> Sequence[Keep]:
        tree = await self._zfs.get_tree("userrefs", dataset)
        if tree is None:
            return ()
        prefix, pool = f"{dataset}@", dataset.partition("/")[0]
        names = [name for name in tree if name.startswith(prefix)]
        held = [name for name in names if parse.number(tree[name], "userrefs")]
        found: list[Keep] = []
        if held:
            told = await self._zfs.run("zfs", "holds", "-H", *held)
            if told.exit_code == 0:
                found += parse.holds(told.text)
            else:  # zfs-fuse only counts them
                found += [Keep(name.removeprefix(prefix)) for name in held for _ in range(int(tree[name]["userrefs"]))]
        listed = await self._zfs.look("zfs", "list", "-H", "-o", "name,origin", "-t", "filesystem,volume", "-r", pool)
        clones = [each for each in parse.clones(listed or "", dataset) if not is_digests(each.clone)]
        order = {name.removeprefix(prefix): place for place, name in enumerate(names)}
        return tuple(sorted((*found, *clones), key=lambda each: order.get(each.snapshot, 0)))

    @asynccontextmanager
    async def _named(self, dataset: Dataset) -> AsyncIterator[None]:
        """What a hold or a clone of a snapshot prevents is told with its name: zfs says "busy"."""
        try:
            yield
        except Failed as error:
            kept = await self.keeps(dataset) if error.code in (Code.DATASET_BUSY, Code.ZFS_FAILED) else ()
            if not kept:
                raise
            raise failures.kept(dataset, kept) from error

    async def digest(self, dataset: Dataset, snapshot: str) -> str:
        return await self._clones.digest(dataset, snapshot)

    async def sweep(self, pool: str) -> None:
        await self._clones.sweep(pool)

    async def rollback(self, dataset: Dataset, name: str) -> None:
        async with self._named(dataset):
            await self._zfs.change(dataset, "zfs", "rollback", "-r", f"{dataset}@{name}")

    # ---------------------------------------------------------------- streams

    async def estimate_bytes(self, dataset: Dataset, base: str | None, snapshot: str | None) -> int:
        estimates = (await self.features()).estimate
        if snapshot is not None and estimates:
            text = await self._zfs.look("zfs", "send", "-nP", *_stream(dataset, base, snapshot))
            return parse.estimate(text or "")
        if snapshot is None:
            await self._account(dataset)
        written = f",written@{base}" if base is not None and estimates else ""
        tree = await self._zfs.get_tree(sizes.PROPERTIES + written, dataset)
        if tree is None:
            raise Failed(Code.ZFS_FAILED, f"cannot estimate a stream of {dataset}: there is no such dataset")
        return sizes.estimate(dataset, tree, base, snapshot)

    async def _account(self, dataset: Dataset) -> None:
        """Waits for the transaction group with every write until now: space accounting lags behind it by seconds.

        What changes a property, even from nothing to nothing, is answered after that group; older ZFS has no `zpool
        sync`. One that fails leaves the estimate as good as it was.
        """
        await self._zfs.run("zfs", "inherit", NEVER_SET, dataset)

    def send_argv(self, dataset: Dataset, base: str | None, snapshot: str) -> Sequence[str]:
        return (*self._zfs.prefix, "zfs", "send", *_stream(dataset, base, snapshot))

    async def resume_argv(self, dataset: Dataset, snapshot: str, token: str) -> Sequence[str]:
        if parse.RESUME_TOKEN.fullmatch(token) is None:
            raise failures.stream_failure(f"{token[:40]!r} is no resume token")
        told = await self._zfs.run("zfs", "send", "-nvP", "-t", token)
        if told.exit_code != 0:
            raise failures.stream_failure(told.words)
        wanted = f"{dataset}@{snapshot}"
        there = await self._zfs.get("guid", wanted)
        # zfs finds what it sends by the guid; the name is what its complaints are about.
        of = parse.resumed(told.text + told.stderr.decode(errors="replace"))
        if there is None or of != (wanted, parse.number(there[wanted], "guid")):
            raise failures.stream_failure(f"the resume token is one of {of}, and not of {wanted}")
        return (*self._zfs.prefix, "zfs", "send", "-t", token)

    def receive_argv(self, dataset: Dataset, *, resumable: bool = False) -> Sequence[str]:
        return (*self._zfs.prefix, "zfs", "receive", *(("-s",) if resumable else ()), "-u", dataset)

    def stream_code(self, words: str) -> Code:
        return failures.stream_failure(words).code

    async def abort_receive(self, dataset: Dataset) -> None:
        if (await self.features()).resume:
            await self._zfs.change(dataset, "zfs", "receive", "-A", dataset, settled=Says.NOTHING_KEPT)

    # ---------------------------------------------------------------- below

    async def _snapshot_beneath(self, names: Mapping[Dataset, str]) -> None:
        """One instant where `zfs snapshot` takes one name: recursively on the parent, and the others are removed.

        Where another dataset below the parent has a snapshot of this name, nothing is taken. Then the instant is
        taken under a scratch name, and what was asked for is renamed.
        """
        parent = os.path.commonpath(names)
        if not parent:
            raise Failed(Code.ZFS_FAILED, f"{' and '.join(names)} are in different pools, which share no instant")
        if await self._zfs.get("guid", *names.values()) is not None:
            return
        beneath = (parent, *await self.children(parent))
        name = next(iter(names.values())).partition("@")[2]
        if await self._zfs.change(parent, "zfs", "snapshot", "-r", f"{parent}@{name}", settled=Says.THERE_ALREADY):
            await self._destroy_each([f"{other}@{name}" for other in beneath if other not in names])
            return
        scratch = [f"{each}@{SCRATCH}" for each in beneath]
        await self._destroy_each(scratch)  # an earlier call may have been killed half-way
        await self._zfs.change(parent, "zfs", "snapshot", "-r", scratch[0])
        for dataset, full in names.items():
            await self._zfs.change(dataset, "zfs", "rename", f"{dataset}@{SCRATCH}", full, settled=Says.THERE_ALREADY)
        await self._destroy_each(scratch)

    async def _destroy_each(self, snapshots: Sequence[str]) -> None:
        for full in snapshots:
            await self._zfs.change(full.partition("@")[0], "zfs", "destroy", full, settled=Says.ABSENT)

    def _mounted_as_asked(self, dataset: Dataset, mountpoint: str, *, readonly: bool) -> bool:
        mounts = self._mounts(dataset)
        return bool(mounts) and (mounts[0].mountpoint, mounts[0].readonly) == (mountpoint, readonly)

    def _mounts(self, dataset: Dataset) -> list[Mount]:
        return mounts_of(dataset, Path("/proc") / self._zfs.own_process)


def _stream(dataset: Dataset, base: str | None, snapshot: str) -> Sequence[str]:
    """With '@' before the base: OpenZFS takes a bare name for one too, but with a warning."""
    return (f"{dataset}@{snapshot}",) if base is None else ("-i", f"@{base}", f"{dataset}@{snapshot}")
