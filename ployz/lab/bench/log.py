"""The per-host log: durable appends against bare SQLite on the same disk, and how fast history is replayed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio

from ployz.clock import SystemClock
from ployz.events.log import Entry, EventLog
from ployz.events.replay import replay
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import StepBegun
from ployz.ids import OperationId
from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage
from ployz.projections.local import LocalView

TRIES: Final = 5
SINGLE: Final = 300
GROUPS: Final = 50
GROUP: Final = 100
PAYLOAD_BYTES: Final = 300
"""Of a stored event with its hashes, about."""
OPERATION: Final = OperationId("op-0000000000000000000")


def measure(stage: Stage) -> Sequence[Row]:
    singly: list[float] = []
    grouped: list[float] = []
    replayed: list[float] = []
    bare_singly: list[float] = []
    bare_grouped: list[float] = []
    with TemporaryDirectory(prefix="ployz-bench-", dir="/var/tmp") as folder:
        for number in range(TRIES):
            rates = anyio.run(_log_rates, Path(folder) / f"log-{number}.db", backend="trio")
            singly.append(rates[0])
            grouped.append(rates[1])
            replayed.append(rates[2])
            bare_singly.append(_bare_rate(Path(folder) / f"bare-{number}.db", SINGLE, 1))
            bare_grouped.append(_bare_rate(Path(folder) / f"bare-{number}.db", GROUPS, GROUP))
    stage.say("log: done")
    return [
        Row.of_medians("log: appends, one at a time / bare SQLite", "/s", singly, bare_singly, at_least=0.5),
        Row.of_medians(f"log: appends of {GROUP} / bare SQLite", "/s", grouped, bare_grouped, at_least=0.3),
        Row.of_medians("log: replay, with hashes checked", "/s", replayed),
    ]


async def _log_rates(path: Path) -> tuple[float, float, float]:
    """Events a second: appended one at a time, appended in groups, replayed."""
    log = await SqliteLog.open(path, SystemClock())
    try:
        singly = await _append_rate(log, SINGLE, 1)
        grouped = await _append_rate(log, GROUPS, GROUP)
        began_s = time.perf_counter()
        count = await replay(log, LocalView().apply)
        return singly, grouped, count / (time.perf_counter() - began_s)
    finally:
        await log.aclose()


async def _append_rate(log: EventLog, commits: int, entries_each: int) -> float:
    began_s = time.perf_counter()
    for number in range(commits):
        await log.append([_entry(f"{entries_each}-{number}-{each}") for each in range(entries_each)])
    return commits * entries_each / (time.perf_counter() - began_s)


def _entry(step: str) -> Entry:
    return Entry(f"operation/{OPERATION}", StepBegun(step, "the target of a step"), OPERATION, step)


def _bare_rate(path: Path, commits: int, rows_each: int) -> float:
    """The same number of rows and commits, equally durable, with nothing around them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in ("journal_mode=WAL", "synchronous=FULL", "locking_mode=EXCLUSIVE"):
            database.execute(f"PRAGMA {statement}")
        database.execute("CREATE TABLE IF NOT EXISTS rows (payload BLOB)")
        return _rate(
            lambda: database.executemany("INSERT INTO rows VALUES (?)", [(bytes(PAYLOAD_BYTES),)] * rows_each),
            database,
            commits,
            rows_each,
        )


def _rate(insert: Callable[[], object], database: sqlite3.Connection, commits: int, rows_each: int) -> float:
    began_s = time.perf_counter()
    for _ in range(commits):
        database.execute("BEGIN")
        insert()
        database.execute("COMMIT")
    return commits * rows_each / (time.perf_counter() - began_s)
