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

from ployz.clock import SystemClock
from ployz.events.chain import Walk, seal
from ployz.events.codec import CODEC, Encoded
from ployz.events.connection import Connection
from ployz.events.log import GENESIS_HASH, Entry, Record, Row
from ployz.events.replay import replay
from ployz.events.sqlite_log import SqliteLog
from ployz.events.tables import EVENT_LOG, insert, select
from ployz.events.types import Event, FactMirrored
from ployz.facts.chain import stored_hash
from ployz.facts.memory import MemoryFactLog
from ployz.facts.mirror import STREAM, Mirror
from ployz.lab.bench import history, report
from ployz.lab.bench.stage import MIB, Stage
from ployz.projections.local import LocalView
from ployz.projections.view import ClusterView
from ployz.strict import pack, unpack

PAGE: Final = 1_000
PROJECTIONS_MIB_MAX: Final = 60.0


@frozen
class _Read:
    per_s: float
    bare_per_s: float
    grown_mib: float


def measure(stage: Stage) -> Sequence[report.Row]:
    many = stage.effort.history_facts
    with TemporaryDirectory(prefix="ployz-bench-", dir="/var/tmp") as folder:
        path = Path(folder) / "log.db"
        anyio.run(_write, path, many, backend="trio")
        stage.say(f"start: a history of {many} facts, {path.stat().st_size // MIB} MiB, is there")
        read = anyio.run(_read, path, many, backend="trio")
    return [
        report.Row(
            "start: facts read back into projections / hashes checked and unpacked alone",
            "/s",
            read.per_s,
            read.bare_per_s,
            read.per_s / read.bare_per_s,
        ),
        report.Row(
            f"start: projections of {history.MACHINES} machines, {history.SERVICES} services, "
            f"{history.SERVICES * history.VOLUMES_EACH} volumes, {many} facts",
            "MiB",
            read.grown_mib,
            at_most=PROJECTIONS_MIB_MAX,
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


async def _read(path: Path, many: int) -> _Read:
    bare_per_s = many / await _bare_s(path)
    log = await SqliteLog.open(path, SystemClock())
    try:
        local, view = LocalView(), ClusterView()
        mirror = Mirror(MemoryFactLog(SystemClock()), log, [view.apply])

        def load(record: Record) -> None:
            local.apply(record)
            mirror.load(record)

        before, began_s = _resident_mib(), time.perf_counter()
        await replay(log, load)
        took_s = time.perf_counter() - began_s
        return _Read(many / took_s, bare_per_s, _resident_mib() - before)
    finally:
        await log.aclose()


async def _bare_s(path: Path) -> float:
    """What nobody can leave out: every row, its place in the chain, and its bytes as plain data."""
    connection = await Connection.open(path, EVENT_LOG)
    try:
        began_s = time.perf_counter()
        walk, seq = Walk(), 0
        while rows := await connection.read(partial(_page, after=seq)):
            for row in rows:
                walk.step(row)
                unpack(row.payload, limit_bytes=len(row.payload))
            seq = rows[-1].seq
        return time.perf_counter() - began_s
    finally:
        await connection.aclose()


def _page(database: Database, after: int) -> list[Row]:
    return select(database, "WHERE seq > ? ORDER BY seq LIMIT ?", after, PAGE)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB
