"""What ordering facts takes behind a long history, on the machine that does it without etcd: a start, and a commit."""

from __future__ import annotations

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
from ployz.events.connection import Connection
from ployz.events.sqlite_log import TAIL_CHECKED
from ployz.events.types import Fact, MachineSettingChanged
from ployz.facts.port import Put, Transaction
from ployz.facts.rules import Change, evaluate
from ployz.facts.sequencer import tables
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.ids import MachineId
from ployz.lab.bench import history
from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage

COMMITS: Final = 200
PAGE: Final = 1_000
START_S_MAX: Final = 2.0
COMMIT_RATIO_MAX: Final = 2.0
RECORD_BYTES: Final = 100


@frozen
class _Taken:
    start_s: float
    commit_ms: Sequence[float]


def measure(stage: Stage) -> Sequence[Row]:
    many = stage.effort.history_facts
    with TemporaryDirectory(prefix="ployz-bench-", dir="/var/tmp") as folder:
        long, short = (
            anyio.run(_measure, Path(folder) / f"facts-{number}.db", number, backend="trio")
            for number in (many, history.BEGINNING)
        )
    return [
        Row(f"authority: start behind {many} facts", "s", long.start_s, at_most=START_S_MAX),
        Row.of_medians(
            f"authority: a commit behind {many} facts / behind {history.BEGINNING}",
            "ms",
            long.commit_ms,
            short.commit_ms,
            at_most=COMMIT_RATIO_MAX,
        ),
    ]


async def _measure(path: Path, many: int) -> _Taken:
    await _write(path, many)
    began_s = time.perf_counter()
    log = await EmbeddedFactLog.open(path, SystemClock(), checked=TAIL_CHECKED)
    start_s = time.perf_counter() - began_s
    try:
        return _Taken(start_s, [await _commit_ms(log, number) for number in range(COMMITS)])
    finally:
        await log.aclose()


async def _commit_ms(log: EmbeddedFactLog, number: int) -> float:
    fact = MachineSettingChanged(MachineId("machine-0"), "label.bench", str(number))
    began_s = time.perf_counter()
    await log.transact(Transaction((), (Put("bench", str(number).encode()),), (fact,)))
    return (time.perf_counter() - began_s) * 1_000


async def _write(path: Path, many: int) -> None:
    """As so many commits would have left it, each with a record of its own."""
    connection = await Connection.open(path, tables.FACT_LOG)
    try:
        facts = history.facts(many)
        while page := tuple(islice(facts, PAGE)):
            await connection.write(partial(_append, page=page))
    finally:
        await connection.aclose()


def _append(database: Database, page: tuple[Fact, ...]) -> None:
    head = tables.head(database)
    puts = tuple(Put(f"bench/{head.position + number}", bytes(RECORD_BYTES)) for number in range(len(page)))
    change = evaluate(
        Transaction((), puts, page), head, read=lambda _: None, lease_stands=lambda _: True, at_ms=history.BEGAN_MS
    )
    assert isinstance(change, Change)  # noqa: S101 - it compares nothing
    tables.store(database, change)
