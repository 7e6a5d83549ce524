"""The events commands on an exported log: no node, no event loop, and the same answers as from the node."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from attrs import evolve

from ployz.actors.messages.events import Exported, ExportEvents, ReadEvents
from ployz.clock import SystemClock
from ployz.config import STATE_DIR
from ployz.errors import Corrupt
from ployz.events.chain import sealed
from ployz.events.export import ExportWriter
from ployz.events.log import GENESIS_HASH, Entry, Row
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import NodeStarted
from ployz.ids import MachineId
from tests.unit.cli import samples
from tests.unit.cli.terminal import CtrlC, ployzctl

ROOT = Path(__file__).resolve().parents[3]


def rows() -> list[Row]:
    made: list[Row] = []
    for each in samples.LOG:
        row = Row(
            seq=each.seq,
            at_ms=each.at_ms,
            stream=each.stream,
            name=each.name,
            version=each.version,
            payload=each.payload,
            operation_id=None if each.operation_id is None else str(each.operation_id),
            step=each.step,
            previous_hash=made[-1].hash if made else GENESIS_HASH,
            hash=b"",
        )
        made.append(evolve(row, hash=sealed(row)))
    return made


@pytest.fixture
def exported(tmp_path: Path) -> str:
    path = tmp_path / "copy.db"
    with ExportWriter(path) as writer:
        writer.write(rows())
    return str(path)


@pytest.mark.parametrize(
    "argv",
    [
        ("tail", "--limit", "3"),
        ("tail", "--stream", "volume/production/pgdata"),
        ("tail", "--operation", samples.OPERATION),
        ("replay",),
        ("replay", "--until", "5"),
        ("replay", "--until", "2026-03-01T12:00:05Z"),
        ("replay", "--until", "0"),
    ],
)
def test_a_copy_says_what_the_node_says(exported: str, argv: tuple[str, ...]) -> None:
    online = ployzctl("events", *argv, answers={ReadEvents: samples.read})
    offline = ployzctl("events", *argv, "--file", exported)
    assert (offline.exit_code, offline.err) == (0, "")
    assert offline.out == online.out


def test_the_volume_was_at_the_source_before_its_move_and_at_the_target_after_it(exported: str) -> None:
    def owner(until: int) -> tuple[str, int, str]:
        ended = ployzctl("--json", "events", "replay", "--until", str(until), "--file", exported)
        payload = ended.lines[0]["payload"]
        return payload["volumes"][0]["owner"], payload["volumes"][0]["epoch"], payload["routes"][0]["machine"]

    assert owner(samples.MOVED_SEQ - 1) == ("machine-a", 1, "machine-a")
    assert owner(samples.MOVED_SEQ) == ("machine-b", 2, "machine-b")


def test_more_events_than_a_page_are_read_from_the_beginning() -> None:
    ended = ployzctl("events", "tail", "--limit", "501", answers={ReadEvents: samples.read})
    assert len(ended.out.splitlines()) == len(samples.LOG)


def test_one_event_is_shown_in_full(exported: str) -> None:
    ended = ployzctl("--json", "events", "show", "8", "--file", exported)
    payload = ended.lines[0]["payload"]
    assert (payload["seq"], payload["step"]) == (8, "snapshot")
    assert payload["payload"]["snapshots"][0]["guid"] == str(samples.GUID)


@pytest.mark.parametrize("seq", ["9", "2147483647"])
def test_an_event_that_is_not_there_is_refused(exported: str, seq: str) -> None:
    for ended in (
        ployzctl("events", "show", seq, "--file", exported),
        ployzctl("events", "show", seq, answers={ReadEvents: samples.read}),
    ):
        assert ended.exit_code == 1
        assert f"error [unknown-event-seq]: the log has no event {seq}" in ended.err


def test_a_whole_copy_is_verified(exported: str) -> None:
    ended = ployzctl("events", "verify", "--file", exported)
    assert (ended.exit_code, ended.out) == (0, "8 events, none is missing, changed or out of place\n")


def test_a_changed_row_is_found_in_a_copy(exported: str) -> None:
    _sql(exported, "UPDATE events SET stream = 'node' WHERE seq = 3")
    ended = ployzctl("events", "verify", "--file", exported)
    assert ended.exit_code == 1
    assert "error [log-corrupt]" in ended.err
    assert "it was changed after it was written" in ended.out


def test_a_missing_fact_stops_the_replay_with_one_error(exported: str) -> None:
    _sql(exported, "DELETE FROM events WHERE seq = 3")
    ended = ployzctl("events", "replay", "--file", exported)
    assert ended.exit_code == 1
    assert ended.err.startswith("error [log-corrupt]: event 4 is fact 4, and the fact before it was 2\n")


def test_an_event_of_a_newer_ployz_is_one_error(exported: str) -> None:
    _sql(exported, "UPDATE events SET version = 99 WHERE seq = 8")
    ended = ployzctl("events", "tail", "--file", exported)
    assert ended.exit_code == 1
    assert "error [unknown-event]: volume.snapshot_taken/99" in ended.err


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("no log")
    for path in (other, tmp_path / "absent"):
        ended = ployzctl("events", "tail", "--file", str(path))
        assert ended.exit_code == 1
        assert ended.err.startswith("error [")


def test_a_copy_can_be_copied_and_never_over_another_file(exported: str, tmp_path: Path) -> None:
    again = tmp_path / "again.db"
    first = ployzctl("events", "export", str(again), "--file", exported)
    assert (first.exit_code, first.out) == (0, f"8 events are in {again}\n")
    assert ployzctl("events", "verify", "--file", str(again)).exit_code == 0
    second = ployzctl("events", "export", str(again), "--file", exported)
    assert second.exit_code == 1
    assert "is there already" in second.err


def test_the_node_is_told_a_path_that_does_not_depend_on_the_folder_of_the_caller() -> None:
    def answer(message: ExportEvents) -> Exported:
        return Exported(message.path, 8)

    ended = ployzctl("events", "export", "copy.db", answers={ExportEvents: answer})
    ((_, message),) = ended.asked
    assert isinstance(message, ExportEvents)
    assert Path(message.path) == Path.cwd() / "copy.db"


def test_following_goes_on_from_the_newest_event_until_ctrl_c() -> None:
    ended = ployzctl(
        "events", "tail", "-f", "--limit", "2", answers={ReadEvents: _one_more}, stdout=CtrlC("event_nine")
    )
    assert ended.exit_code == 130
    assert [line.split()[0] for line in ended.out.splitlines()] == ["7", "8", "9"]
    follows = [message for _, message in ended.asked if isinstance(message, ReadEvents) and message.wait_s]
    assert follows == [ReadEvents(8, follows[0].limit, follows[0].wait_s)]


def _one_more(message: ReadEvents) -> object:
    page = samples.read(message)
    if message.wait_s:
        return evolve(page, events=(evolve(samples.LOG[-1], seq=9, stream="event_nine"),))
    return page


OFFLINE = """
import sys
from ployz.cli.main import run
run(["events", "replay", "--file", sys.argv[1]], sys.stdin, sys.stderr, sys.stderr)
print("\\n".join(sys.modules))
"""


def test_reading_a_copy_imports_no_event_loop(exported: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-P", "-c", OFFLINE, exported], capture_output=True, text=True, check=True, env=environment
    )
    assert "machine-b" in ended.stderr
    assert not {"anyio", "trio", "httpx", "rich"} & set(ended.stdout.split())


def _sql(path: str, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


# ---------------------------------------------------------------- the log of a ployzd that does not run


async def written(folder: Path, events: int = 20) -> SqliteLog:
    log = await SqliteLog.open(folder / "log.db", SystemClock())
    for number in range(events):
        await log.append([Entry("node", NodeStarted(MachineId("a"), str(number)))])
    return log


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A state folder with a log, of which one event was changed afterwards."""

    async def main() -> None:
        await (await written(tmp_path)).aclose()

    anyio.run(main, backend="trio")
    with closing(sqlite3.connect(tmp_path / "log.db")) as database:
        database.execute("UPDATE events SET at_ms = 1 WHERE seq = 15")
        database.commit()
    return tmp_path


def test_what_is_advised_when_ployzd_refuses_its_log_works_without_it(left: Path, tmp_path: Path) -> None:
    async def start() -> str:
        with pytest.raises(Corrupt) as refused:
            await SqliteLog.open(left / "log.db", SystemClock())
        return refused.value.problem.advice

    advice = anyio.run(start, backend="trio")
    before = (left / "log.db").read_bytes()
    verify, export = re.findall("`ployzctl ([^`]+)`", advice)
    copy = tmp_path / "copy.events"
    ended = ployzctl(*verify.replace(str(STATE_DIR), str(left)).split())
    assert (ended.exit_code, "15" in ended.out) == (1, True), ended.err
    assert ployzctl(*export.replace("FILE", str(copy)).replace(str(STATE_DIR), str(left)).split()).exit_code == 0
    assert f"FILE --state-dir {left}` saves" in ended.err
    assert ployzctl("events", "verify", "--file", str(copy)).out == ended.out
    assert (left / "log.db").read_bytes() == before


def test_what_a_crash_left_in_the_wal_is_read_too(tmp_path: Path) -> None:
    crash = tmp_path / "crash"
    crash.mkdir()

    async def main() -> None:
        log = await written(tmp_path)
        for each in sorted(tmp_path.glob("log.db*")):  # noqa: ASYNC240
            (crash / each.name).write_bytes(each.read_bytes())
        await log.aclose()

    anyio.run(main, backend="trio")
    assert ployzctl("events", "verify", "--state-dir", str(crash)).out.startswith("20 events")


def test_a_log_that_a_ployzd_has_open_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        log = await written(tmp_path)
        ended = await anyio.to_thread.run_sync(lambda: ployzctl("events", "verify", "--state-dir", str(tmp_path)))
        assert "log-locked" in ended.err
        await log.aclose()

    anyio.run(main, backend="trio")


def test_two_logs_at_once_are_a_wrong_usage(left: Path) -> None:
    assert ployzctl("events", "verify", "--file", "x", "--state-dir", str(left)).exit_code == 2
