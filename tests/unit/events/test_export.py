from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from ployz.clock import SystemClock
from ployz.errors import Code, PloyzError
from ployz.events.chain import verify
from ployz.events.codec import CODEC
from ployz.events.export import ExportedLog, ExportWriter
from ployz.events.log import Entry, Record, Row
from ployz.events.memory_log import MemoryLog
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import NodeStarted
from ployz.ids import MachineId, OperationId

RECORDS = 2_500


@pytest.fixture(scope="module")
def records_and_rows() -> tuple[list[Record], list[Row]]:
    async def main() -> tuple[list[Record], list[Row]]:
        log = MemoryLog(SystemClock())
        entries = [
            Entry("node", NodeStarted(MachineId("a"), str(number)), OperationId("op-1"), f"step-{number}")
            for number in range(RECORDS)
        ]
        return list(await log.append(entries)), list(await log.rows(0, RECORDS))

    return anyio.run(main, backend="trio")


@pytest.fixture
def records(records_and_rows: tuple[list[Record], list[Row]]) -> list[Record]:
    return records_and_rows[0]


@pytest.fixture
def rows(records_and_rows: tuple[list[Record], list[Row]]) -> list[Row]:
    return records_and_rows[1]


def export(path: Path, rows: list[Row]) -> None:
    with ExportWriter(path) as writer:
        writer.write(rows[:1_000])
        writer.write(rows[1_000:])


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_copy_has_every_row_and_every_record(tmp_path: Path, records: list[Record], rows: list[Row]) -> None:
    path = tmp_path / "copy.db"
    export(path, rows)
    with ExportedLog(path) as copy:
        assert list(copy.rows()) == rows
        assert list(copy.records()) == records
        assert list(copy.records(after=RECORDS - 2)) == records[-2:]
        assert copy.find_seq(7) == records[6]
        assert copy.find_seq(RECORDS + 1) is None
        assert list(verify(copy.rows(), CODEC)) == []
    assert names(tmp_path) == ["copy.db"]


def test_reading_a_copy_changes_nothing_and_needs_no_right_to_write(tmp_path: Path, rows: list[Row]) -> None:
    path = tmp_path / "copy.db"
    export(path, rows)
    path.chmod(0o400)
    before = path.read_bytes()
    with ExportedLog(path) as copy:
        assert sum(1 for _ in copy.rows()) == RECORDS
    assert path.read_bytes() == before
    assert names(tmp_path) == ["copy.db"]


def test_a_broken_log_is_copied_as_it_is(tmp_path: Path, rows: list[Row]) -> None:
    broken = [*rows[:4], evolve(rows[4], payload=b"\xc1"), *rows[6:10]]
    path = tmp_path / "copy.db"
    export(path, broken)
    with ExportedLog(path) as copy:
        found = list(verify(copy.rows(), CODEC))
        assert found == list(verify(broken, CODEC))
        assert len(found) == 3
        with pytest.raises(PloyzError) as caught:
            list(copy.records())
        assert caught.value.code is Code.MALFORMED_EVENT


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_nothing_is_overwritten(tmp_path: Path, rows: list[Row], make: object) -> None:
    path = tmp_path / "copy.db"
    assert callable(make)
    make(path)
    with pytest.raises(PloyzError, match="is there already"):
        export(path, rows)
    assert names(tmp_path) == ["copy.db"]


def test_an_export_that_fails_leaves_nothing(tmp_path: Path, rows: list[Row]) -> None:
    path = tmp_path / "copy.db"

    def interrupted() -> None:
        with ExportWriter(path) as writer:
            writer.write(rows)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


def test_the_rest_of_a_killed_export_is_not_in_the_way(tmp_path: Path, rows: list[Row]) -> None:
    (tmp_path / "copy.db.part").write_bytes(b"half a file")
    export(tmp_path / "copy.db", rows)
    with ExportedLog(tmp_path / "copy.db") as copy:
        assert sum(1 for _ in copy.rows()) == RECORDS
    assert names(tmp_path) == ["copy.db", "copy.db.part"]


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path, rows: list[Row]) -> None:
    with pytest.raises(PloyzError) as caught:
        export(tmp_path / "nowhere" / "copy.db", rows)
    assert caught.value.code is Code.LOG_FAILED


def test_a_copy_and_a_live_log_are_never_taken_for_each_other(tmp_path: Path, rows: list[Row]) -> None:
    async def live(path: Path) -> None:
        log = await SqliteLog.open(path, SystemClock())
        await log.aclose()

    export(tmp_path / "copy.db", rows)
    with pytest.raises(PloyzError) as caught:
        anyio.run(live, tmp_path / "copy.db", backend="trio")
    assert caught.value.code is Code.LOG_CORRUPT
    anyio.run(live, tmp_path / "log.db", backend="trio")
    with pytest.raises(PloyzError, match="is no exported event log") as caught:
        ExportedLog(tmp_path / "log.db")
    assert caught.value.code is Code.LOG_CORRUPT


@pytest.mark.parametrize("content", [None, b"", b"no database, but long enough to be one" * 99])
def test_another_file_is_not_taken_for_a_copy(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "copy.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PloyzError) as caught:
        ExportedLog(path)
    assert caught.value.code is (Code.USAGE if content is None else Code.LOG_CORRUPT)


# ---------------------------------------------------------------- whose file it is


def test_a_copy_is_its_owners_alone_whatever_the_umask_is(tmp_path: Path, rows: list[Row]) -> None:
    before = os.umask(0)
    try:
        with ExportWriter(tmp_path / "events.db", owner=60_000) as writer:
            writer.write(rows[:10])
    finally:
        os.umask(before)
    made = (tmp_path / "events.db").stat()
    assert (made.st_mode & 0o777, made.st_uid) == (0o600, 60_000)
    assert [each.name for each in tmp_path.iterdir()] == ["events.db"]


def test_what_somebody_has_put_beside_it_is_neither_followed_nor_removed(tmp_path: Path, rows: list[Row]) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("kept")
    trap = tmp_path / "events.db.part"
    trap.symlink_to(theirs)
    with ExportWriter(tmp_path / "events.db") as writer:
        writer.write(rows[:10])
    assert (theirs.read_text(), trap.is_symlink()) == ("kept", True)


def test_what_comes_there_meanwhile_is_not_replaced(tmp_path: Path, rows: list[Row]) -> None:
    path = tmp_path / "events.db"
    writer = ExportWriter(path)
    writer.__enter__()
    writer.write(rows[:10])
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PloyzError) as refused:
        writer.__exit__(None, None, None)
    assert refused.value.code is Code.USAGE
    assert [each.name for each in tmp_path.iterdir()] == ["events.db"]
