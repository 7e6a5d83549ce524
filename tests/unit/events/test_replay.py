from __future__ import annotations

from functools import partial
from itertools import count

import anyio
import pytest
import trio.testing

from ployz.errors import Code, Usage
from ployz.events.log import Entry, Record
from ployz.events.memory_log import MemoryLog
from ployz.events.replay import PAGE_RECORDS, AtSeq, AtTime, Pace, Until, facts_of, parse_until, replay, up_to
from ployz.events.types import FactMirrored, MachineRemoved, NodeStarted
from ployz.ids import MachineId

A = MachineId("machine-a")


class TickingClock:
    def __init__(self) -> None:
        self._ticks = count(1_000, 1_000)

    def wall_ms(self) -> int:
        return next(self._ticks)

    def monotonic_s(self) -> float:
        return 0.0


def replayed(until: Until | None, records: int = 5) -> tuple[int, list[Record]]:
    """A record a second, from second 1 on."""
    seen: list[Record] = []

    async def main() -> int:
        log = MemoryLog(TickingClock())
        await log.append([Entry("node", NodeStarted(A, str(number))) for number in range(records)])
        return await replay(log, seen.append, until)

    return anyio.run(main, backend="trio"), seen


@pytest.mark.parametrize(
    ("until", "last"),
    [
        (None, 5),
        (AtSeq(0), 0),
        (AtSeq(3), 3),
        (AtSeq(99), 5),
        (AtTime(999), 0),
        (AtTime(3_000), 3),
        (AtTime(3_999), 3),
        (AtTime(99_000), 5),
    ],
)
def test_replay_gives_everything_up_to_a_place_or_a_time(until: Until | None, last: int) -> None:
    seq, seen = replayed(until)
    assert seq == last
    assert [record.seq for record in seen] == list(range(1, last + 1))
    assert list(up_to(replayed(None)[1], until)) == seen


def test_replay_goes_on_from_page_to_page() -> None:
    seq, seen = replayed(None, 2 * PAGE_RECORDS + 1)
    assert seq == len(seen) == 2 * PAGE_RECORDS + 1


def test_a_gentle_replay_leaves_the_log_to_others_between_its_pages() -> None:
    seen: list[int] = []

    async def main() -> float:
        log = MemoryLog(TickingClock())
        await log.append([Entry("node", NodeStarted(A, str(number))) for number in range(5)])
        began_s = anyio.current_time()
        await replay(log, lambda record: seen.append(record.seq), pace=Pace(2, partial(anyio.sleep, 10)))
        return anyio.current_time() - began_s

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert anyio.run(main, backend="trio", backend_options={"clock": clock}) == 20
    assert seen == [1, 2, 3, 4, 5]


def test_time_that_steps_back_does_not_bring_later_records_in() -> None:
    _, records = replayed(None)
    stepped = [records[0], records[4], records[1]]
    assert list(up_to(stepped, AtTime(2_000))) == [records[0]]


def test_the_facts_come_with_their_own_position() -> None:
    async def main() -> list[object]:
        log = MemoryLog(TickingClock())
        fact = MachineRemoved(A)
        records = await log.append(
            [
                Entry("node", NodeStarted(A, "1")),
                Entry("facts", FactMirrored(1, b"", fact)),
                Entry("node", NodeStarted(A, "1")),
                Entry("facts", FactMirrored(2, b"", fact)),
            ]
        )
        return list(facts_of(records))

    assert anyio.run(main, backend="trio") == [(1, 2_000, MachineRemoved(A)), (2, 4_000, MachineRemoved(A))]


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("17", AtSeq(17)),
        ("1970-01-01T00:00:01.234Z", AtTime(1_234)),
        ("1970-01-01 00:00:01", AtTime(1_000)),
        ("1970-01-01T02:00:00+02:00", AtTime(0)),
        ("2026-03-01T12:00:00.001", AtTime(1_772_366_400_001)),
    ],
)
def test_a_place_or_a_time_is_read_from_text(text: str, until: Until) -> None:
    assert parse_until(text) == until


@pytest.mark.parametrize("text", ["", "-1", "yesterday", "²", "1.5", "12:00"])
def test_text_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(Usage) as caught:
        parse_until(text)
    assert caught.value.code is Code.USAGE
