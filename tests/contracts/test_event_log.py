"""What every per-host event log promises: the same tests on the durable one and on the one in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from attrs import define

from ployz.errors import Code, Corrupt, PloyzError, Refused
from ployz.events.chain import verify
from ployz.events.codec import CODEC, PAYLOAD_LIMIT_BYTES
from ployz.events.log import GENESIS_HASH, Entry, EventLog
from ployz.events.memory_log import MemoryLog
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import NodeStarted, SnapshotTaken, StepBegun, VolumesSnapshotTaken
from ployz.ids import MachineId, OperationId, VolumeRef
from ployz.strict import Malformed

OPERATION = OperationId("op-1")
OTHER = OperationId("op-2")


@define
class TickingClock:
    """Each look is one second later."""

    now_ms: int = 1_700_000_000_000

    def wall_ms(self) -> int:
        self.now_ms += 1_000
        return self.now_ms

    def monotonic_s(self) -> float:
        return self.now_ms / 1_000


OpenLog = Callable[[], AbstractAsyncContextManager[EventLog]]


@pytest.fixture(params=["sqlite", "memory"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLog:
    """Opens the log; the next call of one test opens the same log again."""
    memory = MemoryLog(TickingClock())

    @asynccontextmanager
    async def opened() -> AsyncIterator[EventLog]:
        nonlocal memory
        if request.param == "memory":
            memory = memory.crash()
            log: EventLog = memory
        else:
            log = await SqliteLog.open(tmp_path / "log.db", TickingClock())
        try:
            yield log
        finally:
            await log.aclose()

    return opened


def run(open_log: OpenLog, test: Callable[[EventLog], Awaitable[None]]) -> None:
    async def main() -> None:
        async with open_log() as log:
            await test(log)

    anyio.run(main, backend="trio")


def started(version: str, operation_id: OperationId | None = None, step: str | None = None) -> Entry:
    return Entry("node", NodeStarted(MachineId("machine-a"), version), operation_id, step)


def versions(records: object) -> list[str]:
    assert isinstance(records, list | tuple)
    return [record.event.version for record in records]


def test_an_empty_log_has_head_0_and_nothing_to_read(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        assert log.head == 0
        assert list(await log.read(0, 10)) == []
        assert list(await log.append([])) == []
        assert log.head == 0

    run(open_log, test)


def test_records_are_gapless_chained_timed_and_returned_as_they_will_be_read(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        first = await log.append([started("1"), started("2", OPERATION)])
        second = await log.append([started("3", OPERATION, "start")])
        records = [*first, *second]
        assert [record.seq for record in records] == [1, 2, 3]
        assert [record.previous_hash for record in records] == [GENESIS_HASH, records[0].hash, records[1].hash]
        assert records[0].at_ms <= records[1].at_ms < records[2].at_ms
        assert [(record.operation_id, record.step) for record in records] == [
            (None, None),
            (OPERATION, None),
            (OPERATION, "start"),
        ]
        assert log.head == 3
        assert list(await log.read(0, 10)) == records
        assert list(verify(await log.rows(0, 10), CODEC)) == []

    run(open_log, test)


def test_reading_starts_behind_a_position_and_stops_at_the_limit(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        await log.append([started(str(number)) for number in range(1, 8)])
        assert versions(await log.read(2, 3)) == ["3", "4", "5"]
        assert versions(await log.read(6, 3)) == ["7"]
        assert list(await log.read(7, 3)) == []
        assert list(await log.read(99, 3)) == []
        assert [row.seq for row in await log.rows(5, 9)] == [6, 7]

    run(open_log, test)


def test_the_same_step_of_an_operation_is_appended_once(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        (first,) = await log.append([started("1", OPERATION, "fence")])
        again = await log.append([started("2", OPERATION, "fence"), started("3", OPERATION, "send")])
        assert again[0] == first
        assert versions(again) == ["1", "3"]
        twice = await log.append([started("4", OTHER, "fence"), started("5", OTHER, "fence")])
        assert twice[0] == twice[1]
        assert log.head == 3

    run(open_log, test)


def test_steps_that_are_there_and_steps_that_are_new_may_be_appended_together(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        one, two = await log.append([started(step, OPERATION, step) for step in ("one", "two")])
        steps = ("two", "three", "one", None, "three", "two")
        records = await log.append([started("again", OPERATION, step) for step in steps])
        three, plain = records[1], records[3]
        assert list(records) == [two, three, one, plain, three, two]
        assert [three.seq, plain.seq, log.head] == [3, 4, 4]
        assert list(await log.append([started("again", OPERATION, "one")])) == [one]
        assert [each.seq for each in await log.append([started("more", OPERATION, "four")])] == [5]
        assert list(await log.read(0, 4)) == [one, two, three, plain]
        assert list(verify(await log.rows(0, 10), CODEC)) == []

    run(open_log, test)


def test_entries_without_a_step_are_never_in_each_others_way(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        await log.append([started("1", OPERATION), started("1", OPERATION), started("1"), started("1")])
        assert log.head == 4

    run(open_log, test)


def test_a_step_is_found_by_its_operation(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        await log.append([started("1", OPERATION, "fence"), started("2", OTHER, "fence"), started("3", OPERATION)])
        found = await log.find(OTHER, "fence")
        assert found is not None
        assert found.seq == 2
        assert await log.find(OTHER, "send") is None
        assert versions(await log.of_operation(OPERATION)) == ["1", "3"]
        assert list(await log.of_operation(OperationId("op-3"))) == []

    run(open_log, test)


def test_concurrent_appends_each_get_their_own_records(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        got: dict[int, list[str]] = {}

        async def append(number: int) -> None:
            got[number] = versions(await log.append([started(f"{number}.{part}") for part in range(3)]))

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(append, number)
        assert got == {number: [f"{number}.{part}" for part in range(3)] for number in range(40)}
        assert log.head == 120
        assert list(verify(await log.rows(0, 120), CODEC)) == []

    run(open_log, test)


def test_concurrent_appends_of_one_step_all_get_the_one_record(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        seqs: set[int] = set()

        async def append(number: int) -> None:
            seqs.add((await log.append([started(str(number), OPERATION, "fence")]))[0].seq)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(append, number)
        assert seqs == {1}
        assert log.head == 1

    run(open_log, test)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        pytest.param(Entry("node", StepBegun("s", "x" * PAYLOAD_LIMIT_BYTES)), Refused, id="too-large"),
        pytest.param(Entry("node", NodeStarted(MachineId("a"), 3)), Malformed, id="wrong-type"),  # type: ignore[arg-type]
        pytest.param(started("1", None, "step"), ValueError, id="step-without-operation"),
    ],
)
def test_a_batch_with_a_bad_entry_writes_nothing_and_harms_nothing(
    open_log: OpenLog, entry: Entry, error: type[Exception]
) -> None:
    async def test(log: EventLog) -> None:
        with pytest.raises(error):
            await log.append([started("1"), entry])
        assert log.head == 0
        assert versions(await log.append([started("2")])) == ["2"]

    run(open_log, test)


def test_a_value_is_returned_in_its_stored_form(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        taken = SnapshotTaken(VolumeRef.parse("production/pgdata"), "final", 2**64 - 1)
        loose = VolumesSnapshotTaken([taken])  # type: ignore[arg-type]
        (record,) = await log.append([Entry("volume/production/pgdata", loose)])
        assert record.event == VolumesSnapshotTaken((taken,))
        assert list(await log.read(0, 1)) == [record]

    run(open_log, test)


def test_single_records_are_read_in_the_order_of_their_places(open_log: OpenLog) -> None:
    async def test(log: EventLog) -> None:
        appended = await log.append([started(str(number)) for number in range(5)])
        assert list(await log.at([4, 1, 2])) == [appended[0], appended[1], appended[3]]
        assert list(await log.at([])) == []
        for seqs in ([1, 6], [0]):
            with pytest.raises(Corrupt, match="it is missing"):
                await log.at(seqs)

    run(open_log, test)


def test_what_was_acknowledged_is_there_after_opening_again(open_log: OpenLog) -> None:
    async def main() -> None:
        async with open_log() as log:
            before = list(await log.append([started("1", OPERATION, "fence"), started("2")]))
        async with open_log() as log:
            assert log.head == 2
            assert list(await log.read(0, 10)) == before
            assert list(await log.append([started("3", OPERATION, "fence")])) == before[:1]
            (record,) = await log.append([started("4")])
            assert (record.seq, record.previous_hash) == (3, before[1].hash)

    anyio.run(main, backend="trio")


def test_a_closed_log_refuses_everything(open_log: OpenLog) -> None:
    async def main() -> None:
        async with open_log() as log:
            pass
        for call in (log.append([started("1")]), log.read(0, 1), log.rows(0, 1), log.of_operation(OPERATION)):
            with pytest.raises(PloyzError) as caught:
                await call
            assert caught.value.code is Code.LOG_FAILED

    anyio.run(main, backend="trio")
