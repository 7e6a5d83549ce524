"""What a node with a long history reads when it starts: how fast, and what its projections then take in memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from sqlite3 import Connection as Database
from tempfile import TemporaryDirectory
from typing import Final

import anyio
from attrs import frozen

from ployz.clock import SystemClock
from ployz.errors import Code, Failed
from ployz.events.chain import Walk, seal
from ployz.events.codec import CODEC, Encoded
from ployz.events.connection import Connection
from ployz.events.feed import Feed
from ployz.events.log import GENESIS_HASH, Entry, Row
from ployz.events.replay import replay
from ployz.events.sqlite_log import SqliteLog
from ployz.events.tables import EVENT_LOG, insert, select
from ployz.events.types import Event, FactMirrored, MachineSettingChanged
from ployz.facts.chain import stored_hash
from ployz.facts.mirror import STREAM
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
class _Start:
    took_s: float
    """Of processor time, which is what it takes."""
    grown_mib: float


@frozen
class _Read:
    bare_s: float
    whole: _Start
    without: _Start
    with_: _Start
    taken_ms: Sequence[float]


def measure(stage: Stage) -> Sequence[report.Row]:
    many = stage.effort.history_facts
    with TemporaryDirectory(prefix="ployz-bench-", dir="/var/tmp") as folder:
        path = Path(folder) / "log.db"
        anyio.run(_write, path, many, backend="trio")
        stage.say(f"start: a history of {many} facts, {path.stat().st_size // MIB} MiB, is there")
        read = _read(path)
        short = Path(folder) / "short.db"
        anyio.run(_write, short, history.BEGINNING, backend="trio")
        beginning = _read(short)
    return [
        report.Row(f"start: {many} facts, with a snapshot, of processor", "s", read.with_.took_s, at_most=WITH_S_MAX),
        report.Row(f"start: {many} facts, without one, of processor", "s", read.without.took_s, at_most=WITHOUT_S_MAX),
        report.Row(
            f"start: {many} facts, without a compaction either / hashes checked and unpacked alone",
            "s",
            read.whole.took_s,
            read.bare_s,
            read.whole.took_s / read.bare_s,
        ),
        report.Row(
            f"start: projections of {history.MACHINES} machines, {history.SERVICES} services, "
            f"{history.SERVICES * history.VOLUMES_EACH} volumes, {many} facts",
            "MiB",
            max(read.without.grown_mib, read.with_.grown_mib),
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


def _read(path: Path) -> _Read:
    bare_s = anyio.run(_bare_s, path, backend="trio")
    whole = _started(path, "whole")  # which leaves a compaction, and a snapshot
    without = _started(path, "compacted")
    with_ = _started(path, "whole")
    return _Read(bare_s, whole, without, with_, anyio.run(_next, path, backend="trio"))


def _started(path: Path, snapshot: str) -> _Start:
    """As a node does, in a process of its own: what was read before takes no memory there."""
    program = [sys.executable, "-P", "-m", "ployz.lab.bench.starting"]
    command = [*program, str(path), str(path.with_suffix(f".{snapshot}"))]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return _Start(said["took_s"], said["grown_bytes"] / MIB)


async def _next(path: Path) -> Sequence[float]:
    whole, compacted = [await SnapshotFile(path.with_suffix(f".{each}")).read() for each in ("whole", "compacted")]
    if whole != compacted:
        raise Failed(Code.PART_FAILED, "two ways to start, and they do not know the same")
    log = Feed(await SqliteLog.open(path, SystemClock()))
    try:
        folded = whole or Folded()  # of a short log there is no snapshot
        await replay(log, folded.apply, after=folded.seq)
        return await _taken_ms(log, folded)
    finally:
        await log.aclose()


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
