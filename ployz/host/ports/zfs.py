"""The port to ZFS: datasets, snapshots and streams as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from ployz.errors import Code

Dataset = str
"""A full ZFS dataset name, `tank/ployz/production/pgdata`."""


@frozen
class ZfsFeatures:
    """What the installed `zfs` can do, found by probing, never from a version string."""

    estimate: bool  # zfs send -nP
    resume: bool  # zfs receive -s
    multi_snapshot: bool  # several names in one `zfs snapshot`
    multi_set: bool  # several properties in one `zfs set`
    receive_unmounted: bool  # zfs receive -u


@frozen
class Snapshot:
    name: str
    """The part after '@'."""
    guid: int
    """Unsigned 64 bit. A received snapshot keeps it: two snapshots with one guid have the same content."""
    created_s: int
    referenced_bytes: int
    used_bytes: int
    """What only this snapshot holds on to."""
    holds: int = 0
    """How many tags keep it from being destroyed."""


@frozen
class DatasetState:
    name: Dataset
    guid: int
    used_bytes: int
    referenced_bytes: int
    available_bytes: int
    quota_bytes: int
    """`refquota`: what its data may take, whatever snapshots hold on to beside it. 0: none."""
    mounted_at: str | None
    readonly: bool
    properties: Mapping[str, str]
    """The user properties that begin with `ployz:`, without that prefix (`epoch`, `operation`)."""
    snapshots: tuple[Snapshot, ...]
    """Oldest first."""
    resume_token: str | None = None
    """Of a receive that was broken off and can be gone on with, or that runs now."""
    total_quota_bytes: int = 0
    """`quota`: what data, snapshots and children may take together. 0: none, as ployz has it."""
    snapshots_bytes: int = 0
    """What only its snapshots hold on to: it comes back when all of them go."""
    logical_bytes: int = 0
    """What its data is before compression: what it takes where it is received, as that happens without."""
    local: Mapping[str, str] = field(factory=dict)
    """Properties that were set on itself, or came with a stream, as `-p` prints them: native ones, and user ones but
    ployz's."""

    def snapshot(self, name: str) -> Snapshot | None:
        return next((each for each in self.snapshots if each.name == name), None)


@frozen
class DatasetSize:
    """The little of a dataset that a list of many shows."""

    name: Dataset
    referenced_bytes: int
    quota_bytes: int
    """As in DatasetState. 0: none."""
    total_quota_bytes: int
    snapshots_bytes: int


@frozen
class PoolSpace:
    size_bytes: int
    free_bytes: int
    """What datasets may still take, after ZFS' own reserve."""
    healthy: bool
    """It reads and writes. A degraded pool does: moving away from it must stay possible."""
    health: str
    """`ONLINE`, `DEGRADED`, `SUSPENDED`, …"""


@frozen
class Holder:
    """A process that keeps a dataset from being unmounted or handed over."""

    pid: int
    command: str
    container_id: str | None
    how: str
    """Ends the sentence "PID …": `has the file /x open`, `has it mounted at /data in a mount namespace of its own`."""


@frozen
class HangingMount:
    """A mount or an unmount that has not ended for long, whoever asked for it."""

    command: str
    """`zfs mount tank/ployz/production/pgdata`."""
    age_s: int
    by_daemon: bool
    """A zfs-fuse does the mounts, and not the kernel."""


@frozen
class Keep:
    """What keeps one snapshot from being destroyed or rolled back over."""

    snapshot: str
    """The part after '@'."""
    tag: str = ""
    """Of a hold. Empty: a clone's, or a hold whose tag this ZFS does not tell."""
    clone: Dataset = ""
    """Empty: it is a hold."""

    def why(self, dataset: Dataset) -> str:
        if self.clone:
            return f"{self.clone} is a clone of {dataset}@{self.snapshot}"
        return f"{dataset}@{self.snapshot} is held{f' ({self.tag})' if self.tag else ''}"

    def remedy(self, dataset: Dataset) -> str:
        """The command that ends it."""
        if self.clone:
            return f"zfs promote {self.clone}, or zfs destroy {self.clone}"
        return f"zfs release {self.tag or 'TAG'} {dataset}@{self.snapshot}"


class Zfs(Protocol):
    async def features(self) -> ZfsFeatures: ...

    async def pool_space(self, pool: str) -> PoolSpace: ...

    async def state(self, dataset: Dataset) -> DatasetState | None:
        """None: there is no such dataset. A failed look is `Failed`, never None."""
        ...

    async def sizes(self, dataset: Dataset) -> Sequence[DatasetSize]:
        """Of every file system below this one, at any depth, in one look; empty if it does not exist."""
        ...

    async def children(self, dataset: Dataset) -> Sequence[Dataset]:
        """Every dataset below this one, at any depth, without itself; empty if it does not exist."""
        ...

    async def create(self, dataset: Dataset, properties: Mapping[str, str]) -> None:
        """With its parents. `properties` are native (`refquota`, `canmount`) and user ones (`ployz:epoch`)."""
        ...

    async def set(self, dataset: Dataset, properties: Mapping[str, str]) -> None: ...

    async def inherit(self, dataset: Dataset, properties: Sequence[str]) -> None:
        """As its parent has them, from now on. What was never set is done."""
        ...

    async def rename(self, dataset: Dataset, name: Dataset) -> None:
        """With its snapshots, to below a dataset that is there. It is unmounted. Renamed already is done."""
        ...

    async def destroy(self, dataset: Dataset) -> None:
        """The dataset and its snapshots; children are a failure. Absent is done."""
        ...

    async def snapshot(self, datasets: Sequence[Dataset], name: str) -> Mapping[Dataset, Snapshot]:
        """All datasets at one instant. Snapshots of this name that are there already are returned as they are, if they
        are of one instant; else it is `Failed`.

        Where one `zfs snapshot` takes one name only, the instant is `snapshot -r` on their parent, and the
        snapshots of datasets that were not asked for are removed again.
        """
        ...

    async def destroy_snapshot(self, dataset: Dataset, name: str) -> None:
        """Absent is done; held is `Failed`."""
        ...

    async def hold(self, dataset: Dataset, name: str, tag: str) -> None: ...

    async def release(self, dataset: Dataset, name: str, tag: str) -> None: ...

    async def keeps(self, dataset: Dataset) -> Sequence[Keep]:
        """Holds and clones of its snapshots, oldest first; of ployz and of others. Empty if it does not exist."""
        ...

    async def digest(self, dataset: Dataset, snapshot: str) -> str:
        """SHA-256, in hex, of everything in the snapshot: paths, kinds, modes, owners, sizes, content; no times. Equal
        trees have equal digests on every machine.

        The dataset need not be mounted. A file that an earlier digest of the dataset has read, and that did not
        change since, is not read again.
        """
        ...

    async def sweep(self, pool: str) -> None:
        """Removes what a digest that was killed left in the pool."""
        ...

    async def rollback(self, dataset: Dataset, name: str) -> None:
        """To this snapshot; later snapshots go. The caller has proven that they may (their epoch is older)."""
        ...

    async def mount(self, dataset: Dataset, mountpoint: str, *, readonly: bool) -> None:
        """There, and so; a mount that is otherwise is renewed. From then on the dataset is `canmount=noauto`.

        `Failed` with MOUNT_HANGS: it did not end in time, or another mount keeps it from its turn.
        """
        ...

    async def unmount(self, dataset: Dataset) -> None:
        """Until no mount of it is left in any mount namespace that a process is in.

        Busy is `Failed` with DATASET_BUSY, naming processes and containers, after two seconds in which they may let go.
        """
        ...

    async def holders(self, dataset: Dataset) -> Sequence[Holder]:
        """Who uses it: processes with files or folders of it, and mounts in other mount namespaces than ours.

        Our own mount is `DatasetState.mounted_at`. Unmounted and without holders, nobody can write to it.
        """
        ...

    async def hanging_mounts(self, pool: str) -> Sequence[HangingMount]:
        """Of this pool, oldest first."""
        ...

    async def estimate_bytes(self, dataset: Dataset, base: str | None, snapshot: str | None) -> int:
        """What a send from `base` (None: in full) to `snapshot` (None: to now) is expected to take.

        Good to about a tenth for large blocks. Without ZFS' own estimate it may be too large when the dataset has more
        than two snapshots, and when small blocks were rewritten here and there.
        """
        ...

    def send_argv(self, dataset: Dataset, base: str | None, snapshot: str) -> Sequence[str]:
        """The program that writes the stream to its standard output."""
        ...

    async def resume_argv(self, dataset: Dataset, snapshot: str, token: str) -> Sequence[str]:
        """The program that writes what is missing of a stream of this snapshot. `token`: another machine's word.

        `Failed` (STREAM_FAILED): it is a token of something else, or what it needs is gone.
        """
        ...

    def receive_argv(self, dataset: Dataset, *, resumable: bool = False) -> Sequence[str]:
        """The program that reads a stream from its standard input. Never forces, never mounts. `resumable`: what it has
        got when the stream breaks off is kept, and takes space; only where `ZfsFeatures.resume`.

        An increment's dataset must be there, and only the caller can see to it: where it is not, zfs-fuse gives the
        increment to another dataset of the pool that has the base, or to none, and exits with 0. A dataset received in
        full has `canmount=on`: set it to `noauto` before it gets a mountpoint.
        """
        ...

    def stream_code(self, words: str) -> Code:
        """What the last words of a program that sends or receives mean: NO_SPACE, DATASET_IN_THE_WAY, STREAM_FAILED."""
        ...

    async def abort_receive(self, dataset: Dataset) -> None:
        """Drops what a receive that was broken off has kept: the dataset is as before it, or absent. Nothing there is
        done; one that still runs is `Failed`.
        """
        ...
