"""The file system of the state folder, a small one that is filled by bytes and by inodes: how full it is, and what both
logs do there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from ployz.clock import SystemClock
from ployz.errors import Code, Failed
from ployz.events.log import Entry
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import NodeStarted
from ployz.facts.port import Applied, Put, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.ids import MachineId
from ployz.install.premises import state_room
from tests.real import need

MIB = 1 << 20


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    need("mount", "umount")
    folder = tmp_path / "state"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=100", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.real
def test_a_file_system_that_is_filled_is_seen_from_a_folder_in_it(mount: Path) -> None:
    folder = mount / "lib" / "ployz"
    folder.mkdir(parents=True)
    empty = state_room(folder)
    assert (empty.mount, empty.size_bytes, empty.files) == (str(mount), 8 * MIB, 100)
    with pytest.raises(OSError, match="No space"):
        (folder / "filler").write_bytes(bytes(9 * MIB))
    assert state_room(folder).free_bytes == 0
    (folder / "filler").unlink()
    assert state_room(folder).free_bytes > 7 * MIB


@pytest.mark.real
def test_a_file_system_without_inodes_is_seen_whatever_room_it_has(mount: Path) -> None:
    def fill() -> None:
        for number in range(200):
            (mount / str(number)).touch()

    with pytest.raises(OSError, match="No space"):
        fill()
    room = state_room(mount)
    assert room.files_free == 0
    assert room.free_bytes > 4 * MIB


def test_a_state_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failed) as refused:
        state_room(tmp_path / "nowhere")
    assert refused.value.problem.code == Code.LOG_FAILED


def fill(mount: Path) -> Path:
    filler = mount / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert state_room(mount).free_bytes == 0
    return filler


@pytest.mark.real
def test_the_event_log_is_read_without_room_and_written_again_with_some(mount: Path) -> None:
    acknowledged: list[str] = []

    async def append(log: SqliteLog, count: int) -> None:
        for _ in range(count):
            name = f"{len(acknowledged)}"
            await log.append([Entry("node", NodeStarted(MachineId("machine-a"), name.ljust(700)))])
            acknowledged.append(name)

    async def check(log: SqliteLog) -> None:
        found = [each.event.version.strip() for each in await log.read(0, 10_000)]  # type: ignore[attr-defined]
        assert found == acknowledged
        assert log.head == len(acknowledged)

    async def main() -> None:
        log = await SqliteLog.open(mount / "log.db", SystemClock())
        for _ in range(3):
            await append(log, 20)
            filler = fill(mount)
            for _ in range(3):  # what closing it has freed may take some more
                with pytest.raises(Failed) as refused:
                    await append(log, 1_000)
                assert refused.value.code is Code.STATE_FULL
                await check(log)
                fill(mount)
            filler.unlink()
            await append(log, 5)
            await check(log)
        await log.aclose()
        log = await SqliteLog.open(mount / "log.db", SystemClock())
        await check(log)
        await log.aclose()

    anyio.run(main, backend="trio")


@pytest.mark.real
def test_the_fact_log_is_read_without_room_and_written_again_with_some(mount: Path) -> None:
    async def commit(log: EmbeddedFactLog) -> Applied:
        applied = await log.transact(Transaction((), (Put("volume/production/data", bytes(9_000)),)))
        assert isinstance(applied, Applied)
        return applied

    async def main() -> None:
        log = await EmbeddedFactLog.open(mount / "facts.db", SystemClock())
        applied = await commit(log)
        filler = fill(mount)

        async def commit_on() -> None:
            nonlocal applied
            for _ in range(1_000):
                applied = await commit(log)

        with pytest.raises(Failed) as refused:
            await commit_on()
        assert refused.value.code is Code.STATE_FULL
        held = await log.read("volume/production/data")
        assert held is not None
        assert (held.value, held.revision) == (bytes(9_000), applied.revision)
        filler.unlink()
        again = await commit(log)
        assert again.revision == applied.revision + 1
        await log.verify()
        await log.aclose()

    anyio.run(main, backend="trio")
