"""A Zfs, fake or real, with what a contract test needs around it, and the small words those tests share."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import anyio
import pytest

from ployz.clock import SystemClock
from ployz.errors import Code, Failed
from ployz.host import program
from ployz.host.fakes.zfs import FakeZfs
from ployz.host.ports import Dataset, DatasetState, Holder, Zfs
from ployz.host.zfs.adapter import SystemZfs
from ployz.host.zfs.failures import stream_failure
from tests.pools import Pool
from tests.real import PATIENCE

T = TypeVar("T")

MIB = 1 << 20


class Bench(Protocol):
    """A Zfs with what a test needs around it: a workload's hand, and the two ends of a stream."""

    zfs: Zfs
    pool: str
    folder: str

    def write(self, dataset: Dataset, path: str, content: bytes) -> None: ...

    def overwrite(self, dataset: Dataset, path: str, offsets: Sequence[int], content: bytes) -> None:
        """The same content at each offset of a file that stays as long as it is."""
        ...

    def remove(self, dataset: Dataset, path: str) -> None: ...

    def files(self, dataset: Dataset) -> dict[str, bytes]:
        """Of a mounted dataset."""
        ...

    def settle(self) -> None:
        """Makes the space accounting know every write."""
        ...

    def occupy(self, dataset: Dataset) -> Callable[[], None]:
        """Starts something that works in the mounted dataset; the result ends it."""
        ...

    def clone(self, dataset: Dataset, snapshot: str, name: Dataset) -> None: ...

    async def send(self, dataset: Dataset, base: str | None, snapshot: str) -> bytes: ...

    async def run(self, argv: Sequence[str]) -> bytes:
        """What a program that sends writes."""
        ...

    async def receive(self, dataset: Dataset, stream: bytes) -> None: ...

    async def receive_half(self, dataset: Dataset, stream: bytes) -> None:
        """It breaks off in the middle; what the pool can keep of it is kept."""
        ...


class FakeBench:
    def __init__(self) -> None:
        self._fake = FakeZfs(SystemClock(), pool="tank", size_bytes=256 * MIB, resumes=True)
        self.zfs: Zfs = self._fake
        self.pool = "tank"
        self.folder = "/var/lib/test"

    def write(self, dataset: Dataset, path: str, content: bytes) -> None:
        self._fake.write(dataset, path, content)

    def overwrite(self, dataset: Dataset, path: str, offsets: Sequence[int], content: bytes) -> None:
        for offset in offsets:
            self._fake.write(dataset, f"{path}-{offset}", content)

    def remove(self, dataset: Dataset, path: str) -> None:
        self._fake.remove(dataset, path)

    def files(self, dataset: Dataset) -> dict[str, bytes]:
        return dict(self._fake.files(dataset))

    def settle(self) -> None:
        pass

    def occupy(self, dataset: Dataset) -> Callable[[], None]:
        self._fake.use(dataset, Holder(77, "sleep", None, "works in its folder"))
        return lambda: self._fake.let_go(dataset)

    def clone(self, dataset: Dataset, snapshot: str, name: Dataset) -> None:
        self._fake.clone(dataset, snapshot, name)

    async def send(self, dataset: Dataset, base: str | None, snapshot: str) -> bytes:
        return await self.run(self.zfs.send_argv(dataset, base, snapshot))

    async def run(self, argv: Sequence[str]) -> bytes:
        return self._fake.stream_out(argv)

    async def receive(self, dataset: Dataset, stream: bytes) -> None:
        self._fake.stream_in(self.zfs.receive_argv(dataset), stream)

    async def receive_half(self, dataset: Dataset, stream: bytes) -> None:
        self._fake.stream_cut(self.zfs.receive_argv(dataset, resumable=True), stream[: len(stream) // 2])


class RealBench:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.zfs: Zfs = SystemZfs(pool.namespace_pid)
        self.pool = pool.name
        self.folder = str(pool.folder / "mnt")

    def write(self, dataset: Dataset, path: str, content: bytes) -> None:
        self._pool.run("sh", "-c", 'cat > "$0"', self._at(dataset, path), stdin=content)

    def overwrite(self, dataset: Dataset, path: str, offsets: Sequence[int], content: bytes) -> None:
        for offset in offsets:
            options = (f"of={self._at(dataset, path)}", f"seek={offset}", "oflag=seek_bytes", "conv=notrunc", "bs=1M")
            self._pool.run("dd", *options, stdin=content)

    def remove(self, dataset: Dataset, path: str) -> None:
        self._pool.run("rm", self._at(dataset, path))

    def files(self, dataset: Dataset) -> dict[str, bytes]:
        folder = self._at(dataset, "")
        names = self._pool.run("ls", folder).decode().split()
        return {name: self._pool.run("cat", folder + name) for name in names}

    def settle(self) -> None:
        """A snapshot waits for the transaction group that all writes before it are in."""
        self._pool.run("zfs", "snapshot", f"{self.pool}@settle")
        self._pool.run("zfs", "destroy", f"{self.pool}@settle")

    def occupy(self, dataset: Dataset) -> Callable[[], None]:
        argv = [*self._pool.prefix, "sh", "-c", 'cd "$0" && echo ready && exec sleep 1000', self._at(dataset, "")]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        def end() -> None:
            process.kill()
            process.communicate()

        return end

    def clone(self, dataset: Dataset, snapshot: str, name: Dataset) -> None:
        self._pool.run("zfs", "clone", f"{dataset}@{snapshot}", name)

    async def send(self, dataset: Dataset, base: str | None, snapshot: str) -> bytes:
        return await self.run(self.zfs.send_argv(dataset, base, snapshot))

    async def run(self, argv: Sequence[str]) -> bytes:
        return (await program.run(argv, deadline_s=60 * PATIENCE, check=Code.STREAM_FAILED)).stdout

    async def receive(self, dataset: Dataset, stream: bytes) -> None:
        done = await program.run(self.zfs.receive_argv(dataset), deadline_s=60 * PATIENCE, stdin=stream)
        if done.exit_code != 0:
            raise stream_failure(done.words)

    async def receive_half(self, dataset: Dataset, stream: bytes) -> None:
        argv = self.zfs.receive_argv(dataset, resumable=(await self.zfs.features()).resume)
        done = await program.run(argv, deadline_s=60 * PATIENCE, stdin=stream[: len(stream) // 2])
        assert done.exit_code != 0

    def _at(self, dataset: Dataset, path: str) -> str:
        mountpoint = self._pool.run("zfs", "get", "-H", "-o", "value", "mountpoint", dataset).decode().strip()
        return f"{mountpoint}/{path}"


def go(main: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(main, backend="trio")


async def volume(bench: Bench, dataset: Dataset) -> Dataset:
    """A new volume, mounted for writing, the way the volume actor makes one."""
    await bench.zfs.create(dataset, {"canmount": "noauto"})
    await bench.zfs.mount(dataset, mountpoint(bench, dataset), readonly=False)
    return dataset


def mountpoint(bench: Bench, dataset: Dataset) -> str:
    return f"{bench.folder}/{dataset}"


async def state_of(bench: Bench, dataset: Dataset) -> DatasetState:
    state = await bench.zfs.state(dataset)
    assert state is not None
    return state


def history(state: DatasetState) -> object:
    """What a refused stream leaves as it was. OpenZFS counts space when it comes to it, some seconds later."""
    return state.guid, state.properties, [(each.name, each.guid) for each in state.snapshots]


def raises(code: Code, main: Callable[[], Awaitable[object]]) -> str:
    """The words of the failure with this code that `main` must end in."""
    with pytest.raises(Failed) as caught:
        go(main)
    assert caught.value.code is code, caught.value
    return caught.value.problem.text
