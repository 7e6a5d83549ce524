"""The durable log alone: what a crash, a full disk, a second process and a tampering hand find."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from ployz import __version__
from ployz.clock import Clock, SystemClock
from ployz.errors import Code, PloyzError
from ployz.events.chain import sealed, verify
from ployz.events.codec import CODEC
from ployz.events.log import Entry, Record
from ployz.events.mark import Mark, path_of
from ployz.events.sqlite_log import GROUP_ENTRIES_MAX, TAIL_CHECKED, SqliteLog
from ployz.events.tables import select
from ployz.events.types import NodeStarted
from ployz.ids import MachineId

ROWS = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def started(version: str) -> Entry:
    return Entry("node", NodeStarted(MachineId("machine-a"), version))


class TickingClock(SystemClock):
    """Each look at the wall clock is one millisecond later."""

    def __init__(self) -> None:
        self._now_ms = 0

    def wall_ms(self) -> int:
        self._now_ms += 1
        return self._now_ms


def with_log(path: Path, test: Callable[[SqliteLog], Awaitable[None]], clock: Clock | None = None) -> None:
    async def main() -> None:
        log = await SqliteLog.open(path, clock or SystemClock())
        try:
            await test(log)
        finally:
            await log.aclose()

    anyio.run(main, backend="trio")


def fill(path: Path, count: int = ROWS) -> None:
    async def test(log: SqliteLog) -> None:
        await log.append([started(str(number)) for number in range(1, count + 1)])

    with_log(path, test)


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def reseal(path: Path, first: int) -> None:
    """What somebody does who knows the format: every hash from `first` on is right again, and there is no mark."""
    path_of(path).unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        previous = connection.execute("SELECT hash FROM events WHERE seq = ?", (first - 1,)).fetchone()[0]
        for seq in range(first, ROWS + 1):
            connection.execute("UPDATE events SET previous_hash = ? WHERE seq = ?", (previous, seq))
            (row,) = select(connection, "WHERE seq = ?", seq)
            previous = sealed(row)
            connection.execute("UPDATE events SET hash = ? WHERE seq = ?", (previous, seq))


def opening_fails(path: Path) -> PloyzError:
    async def test(log: SqliteLog) -> None:
        raise AssertionError("it opened")

    with pytest.raises(PloyzError) as caught:
        with_log(path, test)
    return caught.value


def swap(one: int, other: int) -> tuple[str, ...]:
    move = "UPDATE events SET seq = {} WHERE seq = {}"
    return move.format(-1, one), move.format(one, other), move.format(other, -1)


GAP = ("DELETE FROM events WHERE seq = 5",)
CHANGED = ("UPDATE events SET at_ms = at_ms + 1 WHERE seq = 5",)
UNKNOWN = ("UPDATE events SET name = 'moon.landed' WHERE seq = 5",)
NEWER = ("UPDATE events SET version = 2 WHERE seq = 5",)
UNREADABLE = ("UPDATE events SET payload = x'c1' WHERE seq = 5",)

DAMAGE = [
    pytest.param(GAP, False, Code.LOG_CORRUPT, "event 6: 5 is missing", id="gap"),
    pytest.param(CHANGED, False, Code.LOG_CORRUPT, "event 5: it was changed after it was written", id="changed"),
    pytest.param(swap(4, 5), False, Code.LOG_CORRUPT, "event 4: it is really event 5: rows were swapped", id="swapped"),
    pytest.param(
        UNKNOWN, True, Code.UNKNOWN_EVENT, f"moon.landed/1: ployz {__version__} knows no such event", id="unknown"
    ),
    pytest.param(
        NEWER, True, Code.UNKNOWN_EVENT, f"node.started/2: ployz {__version__} knows it up to version 1", id="newer"
    ),
    pytest.param(UNREADABLE, True, Code.MALFORMED_EVENT, "the payload of node.started/1 is malformed", id="unreadable"),
]


@pytest.mark.parametrize(("statements", "resealed", "code", "text"), DAMAGE)
def test_a_damaged_log_does_not_open_and_says_what_is_wrong(
    path: Path, statements: tuple[str, ...], resealed: bool, code: Code, text: str
) -> None:
    fill(path)
    tamper(path, *statements)
    if resealed:
        reseal(path, 5)
    error = opening_fails(path)
    assert error.code is code
    assert text in error.problem.text


def test_a_broken_link_is_found(path: Path) -> None:
    fill(path)
    tamper(path, "UPDATE events SET hash = x'00' WHERE seq = 5")
    with closing(sqlite3.connect(path)) as connection:
        findings = list(verify(select(connection, "ORDER BY seq"), CODEC))
    assert [(each.seq, each.code) for each in findings] == [(5, Code.LOG_CORRUPT), (6, Code.LOG_CORRUPT)]
    assert "does not follow event 5" in findings[1].text


def test_damage_far_from_the_end_is_found_when_it_is_read(path: Path) -> None:
    fill(path, TAIL_CHECKED + 10)
    tamper(path, *CHANGED)

    async def test(log: SqliteLog) -> None:
        assert [record.seq for record in await log.read(0, 4)] == [1, 2, 3, 4]
        with pytest.raises(PloyzError, match="event 5: it was changed"):
            await log.read(4, 10)
        assert len(await log.rows(0, TAIL_CHECKED)) == TAIL_CHECKED
        (record,) = await log.append([started("next")])
        assert record.seq == TAIL_CHECKED + 11

    with_log(path, test)


def test_a_log_of_a_newer_ployz_is_refused(path: Path) -> None:
    fill(path)
    tamper(path, "PRAGMA user_version = 99")
    assert opening_fails(path).code is Code.LOG_NEWER


@pytest.mark.parametrize("content", [b"no database at all, by far" * 99, b"SQLite format 3\0" + b"\xff" * 999])
def test_another_file_is_not_taken_for_a_log(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert opening_fails(path).code is Code.LOG_CORRUPT
    assert path.read_bytes() == content


def test_another_database_is_not_taken_for_a_log(path: Path) -> None:
    tamper(path, "CREATE TABLE events (seq INTEGER PRIMARY KEY)")
    assert opening_fails(path).code is Code.LOG_CORRUPT


def test_a_log_that_is_open_is_refused_to_a_second_opener(path: Path) -> None:
    async def test(_: SqliteLog) -> None:
        with pytest.raises(PloyzError) as caught:
            await SqliteLog.open(path, SystemClock())
        assert caught.value.code is Code.LOG_LOCKED

    with_log(path, test)
    with_log(path, test)


def test_a_full_disk_refuses_what_comes_loses_nothing_that_was_acknowledged_and_ends_nothing(path: Path) -> None:
    acknowledged: list[str] = []

    async def append_for_ever(log: SqliteLog) -> None:
        for number in range(1_000):
            await log.append([started(f"{number} {'x' * 1_000}")])
            acknowledged.append(str(number))

    async def fill_up(log: SqliteLog) -> None:
        await log._connection.read(lambda database: database.execute("PRAGMA max_page_count = 40").fetchone())
        with pytest.raises(PloyzError) as caught:
            await append_for_ever(log)
        assert caught.value.code is Code.STATE_FULL
        assert len(acknowledged) > 10
        await look(log)
        # It was opened anew, and so has room again.
        await log.append([started("room")])
        acknowledged.append("room")
        await look(log)

    async def look(log: SqliteLog) -> None:
        found = [record.event.version.split()[0] for record in await log.read(0, 1_000)]  # type: ignore[attr-defined]
        assert found == acknowledged

    with_log(path, fill_up)
    with_log(path, look)


def test_a_log_that_is_another_after_it_was_full_stops(path: Path) -> None:
    async def test(log: SqliteLog) -> None:
        await log.append([started("1")])
        log._connection._reached = Mark(2, 2, bytes(32))  # as if a commit of which nobody knows had been found
        await log._connection.read(lambda database: database.execute("PRAGMA max_page_count = 1").fetchone())
        with pytest.raises(PloyzError) as caught:
            await log.append([started("x" * 100_000)])
        assert caught.value.code is Code.LOG_FAILED
        with pytest.raises(PloyzError, match="takes nothing any more"):
            await log.read(0, 1)

    with_log(path, test)


def test_a_commit_that_fails_has_an_unknown_outcome_and_stops_the_log(path: Path) -> None:
    fill(path)
    # A deferred foreign key is checked by COMMIT itself: the one way to make it fail without breaking a disk.
    tamper(
        path,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER break_commit AFTER INSERT ON events BEGIN INSERT INTO child VALUES (1); END",
    )

    async def test(log: SqliteLog) -> None:
        await log._connection.read(lambda database: database.execute("PRAGMA foreign_keys = ON"))
        codes = []

        async def append(version: str) -> None:
            with pytest.raises(PloyzError) as caught:
                await log.append([started(version)])
            codes.append(caught.value.code)

        async with anyio.create_task_group() as group:
            for version in "abc":
                group.start_soon(append, version)
        assert Code.OUTCOME_UNKNOWN in codes
        assert set(codes) <= {Code.OUTCOME_UNKNOWN, Code.LOG_FAILED}
        assert log.head == ROWS
        with pytest.raises(PloyzError, match="takes nothing any more"):
            await log.read(0, 1)

    with_log(path, test)


def commits_of(records: Sequence[Record]) -> Counter[int]:
    """How many records each commit took: with a ticking clock, each commit has its own time."""
    return Counter(record.at_ms for record in records)


def test_concurrent_appends_share_commits(path: Path) -> None:
    async def test(log: SqliteLog) -> None:
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(log.append, [started(str(number))])
        commits = commits_of(await log.read(0, 100))
        assert commits.total() == 50
        assert len(commits) <= 3

    with_log(path, test, TickingClock())


def test_one_commit_takes_a_bounded_number_of_entries(path: Path) -> None:
    async def test(log: SqliteLog) -> None:
        batch = [started("x")] * (GROUP_ENTRIES_MAX // 2 + 1)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(log.append, batch)
        commits = commits_of(await log.read(0, 3 * len(batch)))
        assert list(commits.values()) == [len(batch)] * 3

    with_log(path, test, TickingClock())


def test_an_append_that_is_cancelled_before_its_turn_is_not_written(path: Path) -> None:
    async def test(log: SqliteLog) -> None:
        async with log._turn:
            with anyio.move_on_after(0) as scope:
                await log.append([started("never")])
            assert scope.cancelled_caught
        (record,) = await log.append([started("first")])
        assert record.seq == log.head == 1

    with_log(path, test)


CHILD = """
import sys, anyio
from pathlib import Path
from ployz.clock import SystemClock
from ployz.events.log import Entry
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import NodeStarted
from ployz.ids import MachineId

async def writer(log, name):
    for number in range(100_000):
        record, = await log.append([Entry("node", NodeStarted(MachineId("a"), f"{name}.{number}"))])
        sys.stdout.buffer.write(f"{record.seq} {record.event.version}\\n".encode())
        sys.stdout.buffer.flush()

async def main():
    log = await SqliteLog.open(Path(sys.argv[1]), SystemClock())
    async with anyio.create_task_group() as group:
        for name in range(4):
            group.start_soon(writer, log, name)

anyio.run(main, backend="trio")
"""


def test_everything_acknowledged_is_there_after_kill_9(path: Path) -> None:
    acknowledged: list[tuple[int, str]] = []
    with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if not line.endswith(b"\n"):
                break  # the kill cut it off: not an acknowledgement
            seq, version = line.decode().split()
            acknowledged.append((int(seq), version))
            if len(acknowledged) == 200:
                child.kill()
    assert len(acknowledged) >= 200

    async def test(log: SqliteLog) -> None:
        found = {record.seq: record.event.version for record in await log.read(0, 100_000)}  # type: ignore[attr-defined]
        assert [(seq, found.get(seq)) for seq, _ in acknowledged] == acknowledged

    with_log(path, test)
