"""A ZFS pool in memory that passes the contract of the real one: datasets have files, and streams carry them.

Its stream programs cannot be run. Their argv are `("fake-zfs-send", DATASET, BASE or "", SNAPSHOT, TOKEN or "")` and
`("fake-zfs-receive", DATASET, "-s" or "")`: a simulation gives them to `stream_out`, `stream_in` and `stream_cut`,
which do what they would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ployz.clock import Clock
from ployz.errors import Code
from ployz.host.fakes.zfs_content import (
    DatasetContent,
    Files,
    Snap,
    Stream,
    difference,
    is_whole,
    keeps,
    kept,
    left_bytes,
    missing,
    parse_size,
    refusal,
    total_bytes,
)
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
from ployz.host.zfs import failures
from ployz.host.zfs.parse import USER_PREFIX

SEND, RECEIVE = "fake-zfs-send", "fake-zfs-receive"


class FakeZfs:
    """One pool. `seed` keeps the guids of two machines apart; everything is deterministic.

    Besides the port: `write`, `remove`, `compress` and `files` are a workload's hand on a mounted dataset, `use` and
    `let_go` are a process that keeps it busy, `power_cut` is the end of everything but what is stored.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        pool: str = "tank",
        seed: str = "",
        size_bytes: int = 1 << 40,
        resumes: bool = False,
    ) -> None:
        self._clock = clock
        self._pool = pool
        self._seed = seed
        self._size_bytes = size_bytes
        self._resumes = resumes
        self._serial = 0
        self._sets: dict[Dataset, DatasetContent] = {pool: DatasetContent(self._guid(), {})}
        self._holders: dict[Dataset, list[Holder]] = {}
        self.health = "ONLINE"
        self.hanging: list[HangingMount] = []
        """While there are any, no mount and no unmount comes to its end."""

    # ---------------------------------------------------------------- a workload's hand

    def write(self, dataset: Dataset, path: str, content: bytes) -> None:
        its = self._writable(dataset)
        self._require_space(dataset, len(content), grows_bytes=len(content) - len(its.files.get(path, b"")))
        its.files[path] = content

    def remove(self, dataset: Dataset, path: str) -> None:
        self._writable(dataset).files.pop(path, None)

    def compress(self, dataset: Dataset, ratio: float) -> None:
        """What is written to it takes so much less. A stream carries all of it."""
        self._set(dataset).ratio = ratio

    def clone(self, dataset: Dataset, snapshot: str, name: Dataset) -> None:
        """An operator's: it has the snapshot's content, and keeps it."""
        snap = self._snap(dataset, snapshot)
        self._sets[name] = DatasetContent(self._guid(), {}, dict(snap.files))
        snap.clones.add(name)

    def files(self, dataset: Dataset) -> Files:
        """What is on it now, mounted or not."""
        return dict(self._set(dataset).files)

    def contents(self) -> Sequence[tuple[Dataset, DatasetContent]]:
        """Everything that is stored, by name."""
        return sorted(self._sets.items())

    def mounted(self, mountpoint: str) -> Dataset | None:
        """The dataset that a bind mount of this path would see."""
        return next((name for name, its in self._sets.items() if its.mounted_at == mountpoint), None)

    def use(self, dataset: Dataset, holder: Holder) -> None:
        self._holders.setdefault(dataset, []).append(holder)

    def let_go(self, dataset: Dataset) -> None:
        self._holders.pop(dataset, None)

    def power_cut(self) -> None:
        """No process and no mount survives it; every write that was made does."""
        self._holders.clear()
        self.hanging.clear()
        for its in self._sets.values():
            its.mounted_at = None

    # ---------------------------------------------------------------- looking

    async def features(self) -> ZfsFeatures:
        return ZfsFeatures(
            estimate=True, resume=self._resumes, multi_snapshot=True, multi_set=True, receive_unmounted=True
        )

    async def pool_space(self, pool: str) -> PoolSpace:
        self._require_pool(pool)
        return PoolSpace(self._size_bytes, self._free_bytes(), self.health in {"ONLINE", "DEGRADED"}, self.health)

    async def state(self, dataset: Dataset) -> DatasetState | None:
        self._require_pool(dataset)
        its = self._sets.get(dataset)
        if its is None:
            return None
        return DatasetState(
            name=dataset,
            guid=its.guid,
            used_bytes=its.used_bytes(),
            referenced_bytes=its.referenced_bytes,
            available_bytes=self._available_bytes(dataset),
            quota_bytes=parse_size(its.properties.get("refquota", "none")),
            mounted_at=its.mounted_at,
            readonly=its.properties.get("readonly") == "on",
            properties={
                key.removeprefix(USER_PREFIX): value
                for key, value in its.properties.items()
                if key.startswith(USER_PREFIX)
            },
            snapshots=tuple(self._snapshot(its, each) for each in its.snapshots),
            resume_token=its.resume_token,
            total_quota_bytes=parse_size(its.properties.get("quota", "none")),
            snapshots_bytes=its.used_bytes() - total_bytes(its.files) - len(its.partial),
            logical_bytes=total_bytes(its.files),
            local={key: value for key, value in its.properties.items() if not key.startswith(USER_PREFIX)},
        )

    async def sizes(self, dataset: Dataset) -> Sequence[DatasetSize]:
        self._require_pool(dataset)
        states = [await self.state(each) for each in await self.children(dataset)]
        return [
            DatasetSize(
                each.name, each.referenced_bytes, each.quota_bytes, each.total_quota_bytes, each.snapshots_bytes
            )
            for each in states
            if each is not None
        ]

    async def children(self, dataset: Dataset) -> Sequence[Dataset]:
        self._require_pool(dataset)
        return tuple(sorted(name for name in self._sets if name.startswith(f"{dataset}/")))

    async def holders(self, dataset: Dataset) -> Sequence[Holder]:
        return tuple(self._holders.get(dataset, ()))

    # ---------------------------------------------------------------- datasets

    async def create(self, dataset: Dataset, properties: Mapping[str, str]) -> None:
        self._require_pool(dataset)
        parts = dataset.split("/")
        for depth in range(1, len(parts)):
            self._sets.setdefault("/".join(parts[:depth]), DatasetContent(self._guid(), {}))
        self._sets.setdefault(dataset, DatasetContent(self._guid(), dict(properties)))

    async def set(self, dataset: Dataset, properties: Mapping[str, str]) -> None:
        its = self._set(dataset)
        too_small = 0 < parse_size(properties.get("quota", "none")) < its.used_bytes()
        if too_small or 0 < parse_size(properties.get("refquota", "none")) < its.referenced_bytes:
            raise failures.failure(
                f"cannot set property for '{dataset}': size is less than current used or reserved space"
            )
        its.properties.update(properties)

    async def inherit(self, dataset: Dataset, properties: Sequence[str]) -> None:
        for each in properties:
            self._set(dataset).properties.pop(each, None)

    async def rename(self, dataset: Dataset, name: Dataset) -> None:
        if dataset not in self._sets and name in self._sets:
            return
        its = self._set(dataset)
        self._require_free(dataset)
        if name in self._sets:
            raise failures.failure(f"cannot rename '{dataset}': dataset already exists")
        self._set(name.rpartition("/")[0])
        self._sets[name] = its
        del self._sets[dataset]

    async def destroy(self, dataset: Dataset) -> None:
        children = await self.children(dataset)
        if children:
            raise failures.failure(f"{dataset} is not destroyed: it has children: {', '.join(children)}")
        if dataset in self._sets:
            self._require_free(dataset)
            self._require_unkept(dataset, self._sets[dataset].snapshots)
            del self._sets[dataset]

    async def mount(self, dataset: Dataset, mountpoint: str, *, readonly: bool) -> None:
        its = self._set(dataset)
        stored_readonly = its.properties.get("readonly") == "on"
        if (its.mounted_at, its.mounted_readonly, stored_readonly) == (mountpoint, readonly, readonly):
            return
        self._require_mounts(dataset)
        self._require_free(dataset)
        its.properties |= {
            "canmount": "noauto",
            "mountpoint": mountpoint,
            "readonly": "on" if readonly else "off",
        }
        its.mounted_at, its.mounted_readonly = mountpoint, readonly

    async def hanging_mounts(self, pool: str) -> Sequence[HangingMount]:
        return tuple(self.hanging) if pool == self._pool else ()

    async def unmount(self, dataset: Dataset) -> None:
        self._require_free(dataset)
        if dataset in self._sets:
            if self._sets[dataset].mounted_at is not None:
                self._require_mounts(dataset)
            self._sets[dataset].mounted_at = None

    # ---------------------------------------------------------------- snapshots

    async def snapshot(self, datasets: Sequence[Dataset], name: str) -> Mapping[Dataset, Snapshot]:
        sets = {dataset: self._set(dataset) for dataset in datasets}
        instant = self._next()
        if not any(its.snap(name) for its in sets.values()):
            for its in sets.values():
                created_s = self._clock.wall_ms() // 1000
                its.snapshots.append(Snap(name, self._guid(), instant, created_s, dict(its.files)))
        found = {dataset: its.snap(name) for dataset, its in sets.items()}
        if len({each.instant if each else 0 for each in found.values()}) > 1:
            raise failures.failure(f"{', '.join(sets)} have no snapshot {name} of one instant: some were there before")
        return {dataset: self._snapshot(sets[dataset], each) for dataset, each in found.items() if each}

    async def destroy_snapshot(self, dataset: Dataset, name: str) -> None:
        snap = self._sets[dataset].snap(name) if dataset in self._sets else None
        if snap is None:
            return
        self._require_unkept(dataset, [snap])
        self._sets[dataset].snapshots.remove(snap)

    async def hold(self, dataset: Dataset, name: str, tag: str) -> None:
        self._snap(dataset, name).holds.add(tag)

    async def release(self, dataset: Dataset, name: str, tag: str) -> None:
        snap = self._sets[dataset].snap(name) if dataset in self._sets else None
        if snap is not None:
            snap.holds.discard(tag)

    async def keeps(self, dataset: Dataset) -> Sequence[Keep]:
        its = self._sets.get(dataset)
        return keeps(its.snapshots) if its is not None else ()

    async def digest(self, dataset: Dataset, snapshot: str) -> str:
        files = self._snap(dataset, snapshot).files
        parts = [f"{len(path)} {len(content)}\n{path}".encode() + content for path, content in sorted(files.items())]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    async def sweep(self, pool: str) -> None:
        self._require_pool(pool)

    async def rollback(self, dataset: Dataset, name: str) -> None:
        its, snap = self._set(dataset), self._snap(dataset, name)
        place = its.snapshots.index(snap) + 1
        self._require_unkept(dataset, its.snapshots[place:])
        del its.snapshots[place:]
        its.files = dict(snap.files)

    # ---------------------------------------------------------------- streams

    async def estimate_bytes(self, dataset: Dataset, base: str | None, snapshot: str | None) -> int:
        its = self._set(dataset)
        files = its.files if snapshot is None else self._snap(dataset, snapshot).files
        return total_bytes(difference({} if base is None else self._snap(dataset, base).files, files))

    def send_argv(self, dataset: Dataset, base: str | None, snapshot: str) -> Sequence[str]:
        return (SEND, dataset, base or "", snapshot, "")

    async def resume_argv(self, dataset: Dataset, snapshot: str, token: str) -> Sequence[str]:
        instant = self._snap(dataset, snapshot).instant
        earlier = [each.name for each in self._set(dataset).snapshots if each.instant < instant]
        for base in ("", *earlier):
            if missing(self._stream(dataset, base, snapshot), token) is not None:
                return (SEND, dataset, base, snapshot, token)
        raise failures.stream_failure(f"the resume token is not one of {dataset}@{snapshot}")

    def receive_argv(self, dataset: Dataset, *, resumable: bool = False) -> Sequence[str]:
        return (RECEIVE, dataset, "-s" if resumable else "")

    def stream_code(self, words: str) -> Code:
        return failures.stream_failure(words).code

    async def abort_receive(self, dataset: Dataset) -> None:
        its = self._sets.get(dataset)
        if its is not None and its.partial:
            its.partial = b""
            if not its.snapshots:
                del self._sets[dataset]

    def stream_out(self, argv: Sequence[str]) -> bytes:
        """What the program of `send_argv` would write."""
        program, dataset, base_name, name, token = argv
        assert program == SEND, argv  # noqa: S101 - a bug of the caller
        stream = self._stream(dataset, base_name, name)
        rest = missing(stream, token) if token else stream
        if rest is None:
            raise failures.stream_failure(f"cannot resume send: '{dataset}@{name}' is another one")
        return rest

    def _stream(self, dataset: Dataset, base_name: str, name: str) -> bytes:
        base = self._snap(dataset, base_name) if base_name else None
        snap = self._snap(dataset, name)
        if base is not None and base.instant >= snap.instant:
            raise failures.stream_failure(f"cannot send '{dataset}@{name}': not an earlier snapshot from the same fs")
        before = base.files if base else {}
        removed = sorted(before.keys() - snap.files.keys())
        changed = difference(before, snap.files)
        return Stream(base.guid if base else 0, snap.guid, name, snap.created_s, changed, removed).encode()

    def stream_in(self, argv: Sequence[str], stream: bytes) -> None:
        """What the program of `receive_argv` would do with it: all of it, or `Failed` and nothing."""
        program, dataset, _ = argv
        assert program == RECEIVE, argv  # noqa: S101 - a bug of the caller
        its = self._sets.get(dataset)
        what = Stream.decode(kept(its, stream) + stream)
        if why := refusal(self._sets, dataset, what):
            raise failures.stream_failure(why)
        files = {path: content for path, content in (its.files if its else {}).items() if path not in what.removed}
        grows_bytes = total_bytes({**files, **what.changed}) - total_bytes(its.files if its else {})
        self._require_space(dataset, total_bytes(what.changed), grows_bytes=grows_bytes)
        if its is None:
            its = self._sets[dataset] = DatasetContent(self._guid(), {})
        its.files = {**files, **what.changed}
        its.partial = b""
        its.snapshots.append(Snap(what.name, what.guid, self._next(), what.created_s, dict(its.files)))

    def stream_cut(self, argv: Sequence[str], beginning: bytes) -> None:
        """What the program of `receive_argv` would leave after no more than this of a stream."""
        program, dataset, option = argv
        assert program == RECEIVE, argv  # noqa: S101 - a bug of the caller
        its = self._sets.get(dataset)
        if not option or not beginning or (its is None and dataset.rpartition("/")[0] not in self._sets):
            return
        if its is not None and its.partial and is_whole(beginning):
            return
        if its is None:
            its = self._sets[dataset] = DatasetContent(self._guid(), {})
        its.partial = kept(its, beginning) + beginning

    # ---------------------------------------------------------------- below

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _guid(self) -> int:
        return int.from_bytes(hashlib.sha256(f"{self._seed}/{self._pool}/{self._next()}".encode()).digest()[:8], "big")

    def _require_pool(self, dataset: Dataset) -> None:
        if dataset.partition("/")[0] != self._pool:
            raise failures.failure(f"there is no pool {dataset.partition('/')[0]!r}")

    def _require_free(self, dataset: Dataset) -> None:
        if self._holders.get(dataset):
            raise failures.busy(dataset, self._holders[dataset])

    def _require_mounts(self, dataset: Dataset) -> None:
        if self.hanging:
            raise failures.mount_hangs(
                f"{dataset}: `{self.hanging[0].command}` hangs", by_daemon=self.hanging[0].by_daemon
            )

    def _require_unkept(self, dataset: Dataset, snapshots: Sequence[Snap]) -> None:
        if found := keeps(snapshots):
            raise failures.kept(dataset, found)

    def _require_space(self, dataset: Dataset, more_bytes: int, *, grows_bytes: int) -> None:
        """`more_bytes`: written, beside what snapshots keep of what was there. `grows_bytes`: of its data alone."""
        its = self._sets.get(dataset)
        quota_bytes = parse_size(its.properties.get("refquota", "none")) if its else 0
        too_large = its is not None and 0 < quota_bytes < (total_bytes(its.files) + grows_bytes) / its.ratio
        if too_large or more_bytes > left_bytes(self._sets, self._free_bytes(), dataset):
            raise failures.failure(f"{dataset}: out of space")

    def _set(self, dataset: Dataset) -> DatasetContent:
        self._require_pool(dataset)
        if dataset not in self._sets:
            raise failures.failure(f"cannot open '{dataset}': dataset does not exist")
        return self._sets[dataset]

    def _snap(self, dataset: Dataset, name: str) -> Snap:
        snap = self._set(dataset).snap(name)
        if snap is None:
            raise failures.failure(f"cannot open '{dataset}@{name}': dataset does not exist")
        return snap

    def _writable(self, dataset: Dataset) -> DatasetContent:
        its = self._set(dataset)
        if its.mounted_at is None or its.mounted_readonly or its.properties.get("readonly") == "on":
            raise failures.failure(f"{dataset}: {'not mounted' if its.mounted_at is None else 'read-only file system'}")
        return its

    def _snapshot(self, its: DatasetContent, snap: Snap) -> Snapshot:
        unique_bytes = its.used_bytes() - its.used_bytes(without=snap)
        return Snapshot(snap.name, snap.guid, snap.created_s, total_bytes(snap.files), unique_bytes, len(snap.holds))

    def _free_bytes(self) -> int:
        return self._size_bytes - sum(each.used_bytes() for each in self._sets.values())

    def _available_bytes(self, dataset: Dataset) -> int:
        its = self._set(dataset)
        quota_bytes = parse_size(its.properties.get("refquota", "none"))
        left = left_bytes(self._sets, self._free_bytes(), dataset)
        return min(left, max(quota_bytes - its.referenced_bytes, 0)) if quota_bytes else left
