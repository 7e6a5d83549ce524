"""What a node with a long history reads when it starts: how fast, and what its projections then take in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
from attrs import frozen
from sqlite_utils import Database

from ployz.actors.compacting import Compactor
from ployz.actors.snapshots import EVERY_RECORDS, SnapshotKeeper
from ployz.clock import SystemClock
from ployz.errors import Code, Failed
from ployz.events.chain import Walk, seal
from ployz.events.codec import CODEC, Encoded
from ployz.events.connection import Connection
from ployz.events.feed import Feed
from ployz.events.log import GENESIS_HASH, Entry, Row
from ployz.events.sqlite_log import SqliteLog
from ployz.events.tables import EVENT_LOG, insert, select
from ployz.events.types import Event, FactMirrored, MachineSettingChanged
from ployz.facts.chain import stored_hash
from ployz.facts.mirror import STREAM
from ployz.install.compaction_file import CompactionFile
from ployz.install.snapshot_file import SnapshotFile
from ployz.lab.bench import history, report
from ployz.lab.bench.stage import MIB, Stage
from ployz.projections.folded import Folded
from ployz.strict import pack, unpack

PAGE: Final = 1_000
PROJECTIONS_MIB_MAX: Final = 60.0
WITH_S_MAX: Final = 2.0
WITHOUT_S_MAX: Final = 10.0
TAKEN: Final = 200
TAKEN_RATIO_MAX: Final = 2.0


@frozen
class _Read:
    bare_s: float
    whole_s: float
    without_s: float
    with_s: float
    grown_mib: float
    taken_ms: Sequence[float]


def measure(stage: Stage) -> Sequence[report.Row]:
    many = stage.effort.history_facts
    with TemporaryDirectory(prefix="ployz-bench-", dir="/var/tmp") as folder:
        path = Path(folder) / "log.db"
        anyio.run(_write, path, many, backend="trio")
        stage.say(f"start: a history of {many} facts, {path.stat().st_size // MIB} MiB, is there")
        read = anyio.run(_read, path, backend="trio")
        short = Path(folder) / "short.db"
        anyio.run(_write, short, history.BEGINNING, backend="trio")
        beginning = anyio.run(_read, short, backend="trio")
    return [
        report.Row(f"start: {many} facts, with a snapshot, of processor", "s", read.with_s, at_most=WITH_S_MAX),
        report.Row(f"start: {many} facts, without one, of processor", "s", read.without_s, at_most=WITHOUT_S_MAX),
        report.Row(
            f"start: {many} facts, without a compaction either / hashes checked and unpacked alone",
            "s",
            read.whole_s,
            read.bare_s,
            read.whole_s / read.bare_s,
        ),
        report.Row(
            f"start: projections of {history.MACHINES} machines, {history.SERVICES} services, "
            f"{history.SERVICES * history.VOLUMES_EACH} volumes, {many} facts",
            "MiB",
            read.grown_mib,
            at_most=PROJECTIONS_MIB_MAX,
        ),
        report.Row.of_medians(
            f"start: the next fact taken into log and projections, behind {many} / behind {history.BEGINNING}",
            "ms",
            read.taken_ms,
            beginning.taken_ms,
            at_most=TAKEN_RATIO_MAX,
        ),
    ]


async def _write(path: Path, many: int) -> None:
    """As a mirror would have, but for the time that its commits take."""
    connection = await Connection.open(path, EVENT_LOG)
    try:
        previous = fact_before = GENESIS_HASH
        position = 0
        facts = history.facts(many)
        while page := list(islice(facts, PAGE)):
            rows = []
            for fact in page:
                position += 1
                fact_before = stored_hash(fact_before, position, _encoded(fact))
                mirrored = FactMirrored(position, fact_before, fact)
                rows.append(
                    seal(
                        Entry(STREAM, mirrored),
                        _encoded(mirrored),
                        seq=position,
                        at_ms=history.BEGAN_MS + position,
                        previous_hash=previous,
                    )
                )
                previous = rows[-1].hash
            await connection.write(partial(insert, rows=rows))
    finally:
        await connection.aclose()


def _encoded(event: Event) -> Encoded:
    """Without the look whether it can be read back: that is what is measured."""
    return Encoded(event.event_name, event.event_version, pack(CODEC.fields(event)), event)


async def _read(path: Path) -> _Read:
    bare_s = await _bare_s(path)
    log = Feed(await SqliteLog.open(path, SystemClock()))
    try:
        async with CompactionFile(path.with_suffix(".compaction")) as compactions:
            starts = _Starts(log, Compactor(log, compactions, EVERY_RECORDS))
            before_mib = _resident_mib()
            whole_s, folded = await starts.one(path.with_suffix(".snapshot"))
            grown_mib = _resident_mib() - before_mib
            await starts.compactor.compact()
            without_s, compacted = await starts.one(path.with_suffix(".another"))
            with_s, again = await starts.one(path.with_suffix(".snapshot"))
            if not folded == compacted == again:
                raise Failed(Code.PART_FAILED, "three ways to start, and they do not know the same")
            return _Read(bare_s, whole_s, without_s, with_s, grown_mib, await _taken_ms(log, folded))
    finally:
        await log.aclose()


@frozen
class _Starts:
    log: Feed
    compactor: Compactor

    async def one(self, path: Path) -> tuple[float, Folded]:
        """As a node does. One without a snapshot leaves one. In processor time, which is what it takes."""
        keeper = SnapshotKeeper(self.log, SnapshotFile(path), self.compactor)
        began_s = time.process_time()
        folded = await keeper.fold()
        return time.process_time() - began_s, folded


async def _taken_ms(log: Feed, folded: Folded) -> Sequence[float]:
    """As a mirror takes one: durably into the log, then into the projections."""
    machine, took_ms = next(iter(folded.view.machines.members)), []
    for number in range(TAKEN):
        fact = MachineSettingChanged(machine, "label.bench", str(number))
        mirrored = FactMirrored(folded.view.position + 1, folded.fact_hash, fact)
        began_s = time.perf_counter()
        for record in await log.append([Entry(STREAM, mirrored)]):
            folded.apply(record)
        took_ms.append((time.perf_counter() - began_s) * 1_000)
    return took_ms


async def _bare_s(path: Path) -> float:
    """What nobody can leave out: every row, its place in the chain, and its bytes as plain data."""
    connection = await Connection.open(path, EVENT_LOG)
    try:
        began_s = time.process_time()
        walk, seq = Walk(), 0
        while rows := await connection.read(partial(_page, after=seq)):
            for row in rows:
                walk.step(row)
                unpack(row.payload, limit_bytes=len(row.payload))
            seq = rows[-1].seq
        return time.process_time() - began_s
    finally:
        await connection.aclose()


def _page(database: Database, after: int) -> list[Row]:
    return select(database, "WHERE seq > ? ORDER BY seq LIMIT ?", after, PAGE)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB
