"""What only a file can do to a fact log: outlive its process, be damaged, be opened twice, run out of disk."""

from __future__ import annotations

import resource
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import anyio
import pytest

from ployz.clock import SystemClock
from ployz.errors import Code, Corrupt, Failed, PloyzError, Refused, Unreachable
from ployz.facts import keys
from ployz.facts.keys import VolumeOwnership
from ployz.facts.port import Absent, Applied, FactLog, Held, Put, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import (
    DATA,
    FOUNDED,
    PRODUCTION,
    A,
    B,
    applied,
    commit_of,
    joined,
    ready_to_commit,
    take_lock,
)


@asynccontextmanager
async def opened(path: Path, clock: HandClock | None = None) -> AsyncIterator[EmbeddedFactLog]:
    log = await EmbeddedFactLog.open(path, clock or HandClock())
    try:
        yield log
    finally:
        await log.aclose()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    anyio.run(main, backend="trio")


async def _refused_at_open(path: Path) -> PloyzError:
    with pytest.raises(PloyzError) as error:
        await EmbeddedFactLog.open(path, HandClock())
    return error.value


# ---------------------------------------------------------------- reopening


def test_records_facts_and_revisions_are_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"

    async def test() -> None:
        async with opened(path) as log:
            migration = await ready_to_commit(log)
            last = await applied(log, commit_of(migration.token))
            records, facts = await log.list(""), await log.facts(0, limit=99, wait_s=0)
        async with opened(path) as log:
            assert await log.list("") == records
            assert await log.facts(0, limit=99, wait_s=0) == facts
            assert await keys.volume(DATA).read(log) == keys.Standing(VolumeOwnership(B, 2), last.revision)
            after = await applied(log, Transaction((), (), (joined(A, 9),)))
            assert (after.revision, after.position) == (last.revision + 1, last.position + 1)
        async with opened(path) as log:
            assert len(await log.facts(0, limit=99, wait_s=0)) == after.position

    run(test)


def test_a_lease_lives_one_whole_ttl_from_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"
    clock = HandClock()

    async def test() -> None:
        async with opened(path, clock) as log:
            lease, _ = await take_lock(log, ttl_s=30)
        clock.now_s += 1000  # nobody could have renewed it meanwhile
        async with opened(path, clock) as log:
            clock.now_s += 29
            assert await log.read(keys.lock(PRODUCTION).text) is not None
            assert await log.keep_alive(lease)
            clock.now_s += 30
            assert await log.read(keys.lock(PRODUCTION).text) is None
            assert await log.grant(30) > lease

    run(test)


def test_a_record_that_was_seen_to_lapse_does_not_come_back_with_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"
    clock = HandClock()

    async def test() -> None:
        async with opened(path, clock) as log:
            lease, _ = await take_lock(log, ttl_s=30)
            clock.now_s += 30
            assert await log.read(keys.lock(PRODUCTION).text) is None
        async with opened(path, clock) as log:
            assert await log.read(keys.lock(PRODUCTION).text) is None
            assert not await log.keep_alive(lease)

    run(test)


_WRITER = """
import sys
from pathlib import Path
import anyio
from ployz.clock import SystemClock
from ployz.facts.port import Put, Transaction
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from tests.unit.facts.samples import A, joined

async def main():
    log = await EmbeddedFactLog.open(Path(sys.argv[1]), SystemClock())
    number = 0
    while True:
        number += 1
        text = str(number)
        await log.transact(Transaction((), (Put("n", text.encode()), Put(f"each/{text}", b"")), (joined(A, number),)))
        print(number, flush=True)

anyio.run(main, backend="trio")
"""


@pytest.mark.parametrize("acknowledged_before", [1, 7, 40])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path, acknowledged_before: int) -> None:
    path = tmp_path / "facts.db"
    acknowledged = _kill_writer_after(path, acknowledged_before)
    assert acknowledged >= acknowledged_before

    async def test() -> None:
        log = await EmbeddedFactLog.open(path, SystemClock())
        try:
            facts = await log.facts(0, limit=1000, wait_s=0)
            assert acknowledged <= len(facts) <= acknowledged + 1
            # All of each transaction, or nothing of it.
            last = await log.read("n")
            assert last is not None
            assert int(last.value) == len(facts) == len(await log.list("each/"))
        finally:
            await log.aclose()

    run(test)


def _kill_writer_after(path: Path, lines: int) -> int:
    """How many numbers it had printed when it was dead."""
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        try:
            for _ in range(lines):
                assert select.select([writer.stdout], [], [], 30)[0], "the writer says nothing"
                last = writer.stdout.readline()
        finally:
            writer.send_signal(signal.SIGKILL)
        rest = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    return int([last, *rest][-1])


# ---------------------------------------------------------------- files that are not what they must be


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"

    async def test() -> None:
        async with opened(path):
            assert (await _refused_at_open(path)).code is Code.LOG_LOCKED

    run(test)


def test_a_file_of_something_else_is_named_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "text.db", tmp_path / "other.db"
    text.write_bytes(b"not a database, but longer than a header of SQLite would be" * 20)
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE theirs (x)")

    async def test() -> None:
        for path in (text, other):
            error = await _refused_at_open(path)
            assert isinstance(error, Corrupt)
            assert str(path) in error.problem.text
        with closing(sqlite3.connect(other)) as database:
            assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]

    run(test)


def test_a_fact_log_of_a_newer_ployz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"

    async def test() -> None:
        async with opened(path) as log:
            await applied(log, Transaction((), (), (FOUNDED,)))
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA user_version = 2")
        assert (await _refused_at_open(path)).code is Code.LOG_NEWER

    run(test)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM facts WHERE position = 2",
        "DELETE FROM facts WHERE position = 1",
        "UPDATE facts SET position = 99 WHERE position = 4",
        "UPDATE facts SET hash = zeroblob(32) WHERE position = 4",
        "UPDATE facts SET payload = (SELECT payload FROM facts WHERE position = 2) WHERE position = 3",
        "UPDATE facts SET position = -position; UPDATE facts SET position = 5 + position",
    ],
    ids=["missing", "first missing", "gap", "broken chain", "changed", "swapped"],
)
def test_a_damaged_chain_of_facts_stops_the_start(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "facts.db"

    async def test() -> None:
        async with opened(path) as log:
            await applied(log, Transaction((), (), tuple(joined(A, number) for number in (1, 2, 3, 4))))
        with closing(sqlite3.connect(path)) as database:
            database.executescript(damage)
        error = await _refused_at_open(path)
        assert isinstance(error, Corrupt)
        assert error.code is Code.LOG_CORRUPT
        assert error.problem.advice

    run(test)


@pytest.mark.parametrize("at", [1, 5, 8, 9, 10, 12])
def test_a_start_that_checks_the_end_alone_finds_what_is_wrong_there(tmp_path: Path, at: int) -> None:
    path = tmp_path / "facts.db"

    async def test() -> None:
        async with opened(path) as log:
            await applied(log, Transaction((), (), tuple(joined(A, number) for number in range(1, 13))))
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE facts SET hash = zeroblob(32) WHERE position = ?", (at,))
            database.commit()
        if at < 8:  # which is the one that the last four follow
            log = await EmbeddedFactLog.open(path, HandClock(), checked=4)
            assert (await log.head()).position == 12
            await log.aclose()
            assert isinstance(await _refused_at_open(path), Corrupt), "a copy or a move checks all of it"
        else:
            with pytest.raises(Corrupt):
                await EmbeddedFactLog.open(path, HandClock(), checked=4)

    run(test)


def test_an_unreadable_fact_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"

    async def test() -> None:
        for damage, code in (
            ("UPDATE facts SET name = 'machine.vanished'", Code.UNKNOWN_EVENT),
            ("UPDATE facts SET name = 'machine.joined', version = 9", Code.UNKNOWN_EVENT),
            ("UPDATE facts SET version = 1, payload = x'c1'", Code.MALFORMED_EVENT),
        ):
            if not path.exists():
                async with opened(path) as log:
                    await applied(log, Transaction((), (), (joined(A, 1),)))
            with closing(sqlite3.connect(path)) as database, database:
                database.execute(damage)
            assert (await _refused_at_open(path)).code is code

    run(test)


def test_a_database_with_overwritten_pages_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"

    async def test() -> None:
        async with opened(path) as log:
            for number in range(1, 200):
                await applied(log, Transaction((), (Put(f"k{number}", b"x" * 500),), (joined(A, number),)))
        data = bytearray(path.read_bytes())
        page = int.from_bytes(data[16:18])
        data[page:] = b"\xff" * (len(data) - page)
        path.write_bytes(data)
        error = await _refused_at_open(path)
        assert error.code is Code.LOG_CORRUPT

    run(test)


# ---------------------------------------------------------------- a disk that fails


@contextmanager
def a_full_disk(at_bytes: int) -> Iterator[None]:
    """Every file of this process ends at `at_bytes`: what lies behind cannot be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_after_a_failed_commit_the_outcome_is_unknown_and_the_log_answers_nothing_until_reopened(
    tmp_path: Path,
) -> None:
    path = tmp_path / "facts.db"

    async def test() -> None:
        async with opened(path) as log:
            before = await applied(log, Transaction((), (Put("k", b"1"),), (FOUNDED,)))
            with a_full_disk((tmp_path / "facts.db-wal").stat().st_size), pytest.raises(Unreachable) as unknown:
                await log.transact(Transaction((), (Put("k", b"2" * 100_000),)))
            assert unknown.value.code is Code.OUTCOME_UNKNOWN
            for ask in _every_question(log):
                with pytest.raises(Failed) as failed:
                    await ask
                assert failed.value.code is Code.LOG_FAILED
        async with opened(path) as log:
            # This time it was not written; what matters is that reading says so.
            assert await log.read("k") == Held(b"1", before.revision)
            assert isinstance(await log.transact(Transaction((), (Put("k", b"3"),))), Applied)

    run(test)


def _every_question(log: FactLog) -> list[Awaitable[object]]:
    return [
        log.read("k"),
        log.list(""),
        log.facts(0, limit=1, wait_s=0),
        log.transact(Transaction((Absent("j"),), (Put("j", b""),))),
        log.grant(30),
        log.revoke(1),
    ]


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    async def test() -> None:
        error = await _refused_at_open(tmp_path / "nowhere" / "facts.db")
        assert error.code is Code.LOG_FAILED
        assert "nowhere" in error.problem.text
        assert not isinstance(error, Refused)

    run(test)
