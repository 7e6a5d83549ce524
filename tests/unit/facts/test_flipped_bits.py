"""One flipped bit anywhere in a durable log is found when it is opened or read, or changes nothing. A history that
became shorter is never taken for a whole one.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from ployz.cli.exported_source import left_by_ployzd
from ployz.clock import SystemClock
from ployz.config import LOG_NAME
from ployz.errors import Corrupt, PloyzError
from ployz.events.log import Entry
from ployz.events.mark import MARK_SUFFIX, Mark, read_mark
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import NodeStarted
from ployz.events.wal import KEPT_SUFFIX
from ployz.facts.port import Put, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.ids import MachineId, OperationId
from tests.unit.facts.samples import FOUNDED, joined

PLACES = 125
"""Of each file, 500 in all."""
SUFFIXES = ("", "-wal", MARK_SUFFIX)
Content = tuple[Any, ...]


async def fill_events(path: Path) -> Content:
    """Some of it in the database, some in its write-ahead log, as a process that was killed leaves them."""
    for first, count in ((1, 60), (61, 100)):
        log = await SqliteLog.open(path, SystemClock())
        for number in range(first, first + count):
            event = NodeStarted(MachineId("machine-a"), str(number))
            await log.append([Entry("node", event, OperationId(f"op-{number}"), f"step-{number}")])
        content = await read_events(log)
        if first > 1:
            kill(path)
        await log.aclose()
    return content


async def read_events(log: SqliteLog) -> Content:
    records = await log.read(0, 1_000)
    found = [await log.find(OperationId(f"op-{each.seq}"), f"step-{each.seq}") for each in records]
    return log.head, tuple(records), tuple(found)


async def fill_facts(path: Path) -> Content:
    for number in range(2):
        log = await EmbeddedFactLog.open(path, SystemClock())
        if not number:
            await log.transact(Transaction((), facts=(FOUNDED,)))
        for each in range(20):
            lease = await log.grant(60.0)
            writes = (Put(f"volume/v-{each}", f"{number}-{each}".encode()), Put(f"lock/{each}", b"held", lease))
            await log.transact(
                Transaction((), writes, (joined(MachineId(f"m-{number}-{each}"), 1 + each + 20 * number),))
            )
        content = await read_facts(log)
        if number:
            kill(path)
        await log.aclose()
    return content


async def read_facts(log: EmbeddedFactLog) -> Content:
    return await log.head(), tuple(await log.facts(0, limit=1_000, wait_s=0)), tuple(await log.list(""))


def kill(path: Path) -> None:
    """What lies there at this moment."""
    for suffix in SUFFIXES:
        shutil.copyfile(path.with_name(path.name + suffix), path.with_name("killed" + suffix))


async def opened_events(path: Path) -> Content:
    log = await SqliteLog.open(path, SystemClock())
    try:
        return await read_events(log)
    finally:
        await log.aclose()


async def opened_facts(path: Path) -> Content:
    log = await EmbeddedFactLog.open(path, SystemClock())
    try:
        return await read_facts(log)
    finally:
        await log.aclose()


KINDS: dict[str, tuple[Callable[[Path], Awaitable[Content]], Callable[[Path], Awaitable[Content]]]] = {
    "event log": (fill_events, opened_events),
    "fact log": (fill_facts, opened_facts),
}


def flipped(folder: Path, suffix: str, at_bit: int) -> Path:
    for each in SUFFIXES:
        shutil.copyfile(folder / f"killed{each}", folder / f"flipped{each}")
    (folder / f"flipped{KEPT_SUFFIX}").unlink(missing_ok=True)
    damaged = folder / f"flipped{suffix}"
    content = bytearray(damaged.read_bytes())
    content[at_bit // 8] ^= 1 << at_bit % 8
    damaged.write_bytes(content)
    return folder / "flipped"


@pytest.mark.parametrize("suffix", ["", "-wal"], ids=["database", "write-ahead log"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_or_harmless(tmp_path: Path, kind: str, suffix: str) -> None:
    fill, read = KINDS[kind]
    whole = anyio.run(fill, tmp_path / "made", backend="trio")
    bits = (tmp_path / f"killed{suffix}").stat().st_size * 8
    found = 0
    for at_bit in random.Random(7).sample(range(bits), PLACES):  # noqa: S311 - no secret
        path = flipped(tmp_path, suffix, at_bit)
        try:
            assert anyio.run(read, path, backend="trio") == whole, f"bit {at_bit} of {bits}"
        except PloyzError:  # one of the header may look like a lock
            found += 1
    assert found > PLACES / 10 if suffix == "" else found > PLACES * 0.9


def test_a_record_that_was_changed_is_found(tmp_path: Path) -> None:
    """None of these is in the chain of facts."""
    anyio.run(fill_facts, tmp_path / "made", backend="trio")
    for change in (
        "UPDATE records SET value = x'00' WHERE key = 'volume/v-3'",
        "UPDATE records SET lease = 0 WHERE key = 'lock/3'",
        "DELETE FROM leases WHERE lease = 4",
        "UPDATE counters SET last_lease = 1",
    ):
        for suffix in SUFFIXES:
            shutil.copyfile(tmp_path / f"killed{suffix}", tmp_path / f"changed{suffix}")
        with closing(sqlite3.connect(tmp_path / "changed")) as connection, connection:
            connection.execute(change)
        with pytest.raises(
            Corrupt, match=r"a record or a lease is not what was committed|its last changes are not there"
        ):
            anyio.run(opened_facts, tmp_path / "changed", backend="trio")


def test_what_a_cut_end_leaves_is_kept_and_named_and_verify_says_what_is_missing(tmp_path: Path) -> None:
    anyio.run(fill_events, tmp_path / "made", backend="trio")
    folder = tmp_path / "state"
    folder.mkdir()
    for suffix in SUFFIXES:
        shutil.copyfile(tmp_path / f"killed{suffix}", folder / f"{LOG_NAME}{suffix}")
    wal = folder / f"{LOG_NAME}-wal"
    content = bytearray(wal.read_bytes())
    content[len(content) // 2] ^= 1
    wal.write_bytes(content)

    for _ in range(2):  # the second time SQLite has made an end of it
        with left_by_ployzd(folder) as log:
            head, (lost,) = (verified := log.verify()).head, verified.findings
        assert 60 < head < 160
        assert (lost.seq, lost.text.partition(":")[0]) == (head + 1, f"{head + 1} to 160 are missing")
        with pytest.raises(Corrupt, match=f"it ends with {head}, and had got to 160") as refused:
            anyio.run(opened_events, folder / LOG_NAME, backend="trio")
        assert f"is kept in {folder}/{LOG_NAME}{KEPT_SUFFIX}" in refused.value.problem.advice
    assert (folder / f"{LOG_NAME}{KEPT_SUFFIX}").read_bytes() == content


@pytest.mark.parametrize("damaged", ["middle", "last"])
def test_without_a_mark_what_stands_behind_a_damaged_place_shows_it(tmp_path: Path, damaged: str) -> None:
    """As after a cut of the power, which may take the last seconds' mark. Only the last transaction may be torn."""
    head, _, _ = anyio.run(fill_events, tmp_path / "made", backend="trio")
    (tmp_path / f"killed{MARK_SUFFIX}").unlink()
    wal = tmp_path / "killed-wal"
    content = bytearray(wal.read_bytes())
    content[len(content) // 2 if damaged == "middle" else -1] ^= 1
    wal.write_bytes(content)
    if damaged == "last":
        assert anyio.run(opened_events, tmp_path / "killed", backend="trio")[0] == head - 1
        return
    with pytest.raises(Corrupt, match="more lies behind a damaged place of killed-wal"):
        anyio.run(opened_events, tmp_path / "killed", backend="trio")


def test_a_mark_that_is_behind_or_torn_is_no_damage(tmp_path: Path) -> None:
    whole = anyio.run(fill_events, tmp_path / "made", backend="trio")
    mark = tmp_path / f"killed{MARK_SUFFIX}"
    newest = bytearray(mark.read_bytes())
    slot = max((0, 64), key=lambda at: newest[at : at + 8])
    newest[slot + 20] ^= 1
    mark.write_bytes(newest)
    assert read_mark(tmp_path / "killed") == Mark(159, 159, whole[1][158].hash)
    assert anyio.run(opened_events, tmp_path / "killed", backend="trio") == whole
    assert read_mark(tmp_path / "killed") == Mark(160, 160, whole[1][159].hash)


def test_a_step_that_the_index_does_not_lead_to_is_found(tmp_path: Path) -> None:
    """Else it would be done again."""
    whole = anyio.run(fill_events, tmp_path / LOG_NAME, backend="trio")
    content = (tmp_path / LOG_NAME).read_bytes()
    key = b"op-105step-105"  # as a key of the index: in the rows themselves a 20-byte name stands between them
    damaged = content.replace(key, b"op-105stOp-105")
    assert key in content
    (tmp_path / LOG_NAME).write_bytes(damaged)
    assert whole[0] == 160
    with pytest.raises(Corrupt, match="event 105: "):
        anyio.run(opened_events, tmp_path / LOG_NAME, backend="trio")
    with left_by_ployzd(tmp_path) as log:
        assert 105 in {each.seq for each in log.verify().findings}


def test_a_lease_that_was_given_last_is_not_given_again(tmp_path: Path) -> None:
    """Of what the end of the log has, and the chain of facts has not."""

    async def fill() -> None:
        log = await EmbeddedFactLog.open(tmp_path / "made", SystemClock())
        await log.transact(Transaction((), facts=(FOUNDED,)))
        await log.grant(60.0)
        kill(tmp_path / "made")
        await log.aclose()

    anyio.run(fill, backend="trio")
    wal = tmp_path / "killed-wal"
    content = bytearray(wal.read_bytes())
    content[-1] ^= 1
    wal.write_bytes(content)
    with pytest.raises(Corrupt, match="its last changes are not there"):
        anyio.run(opened_facts, tmp_path / "killed", backend="trio")
