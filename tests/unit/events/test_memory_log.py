"""What a test can do to the log in memory."""

from __future__ import annotations

import anyio
import pytest

from ployz.clock import SystemClock
from ployz.errors import Code, PloyzError
from ployz.events.log import Entry
from ployz.events.memory_log import MemoryLog
from ployz.events.types import NodeStarted
from ployz.ids import MachineId

ENTRY = Entry("node", NodeStarted(MachineId("a"), "1"))


def test_a_crash_keeps_what_was_acknowledged_and_ends_the_old_log() -> None:
    async def main() -> None:
        log = MemoryLog(SystemClock())
        records = list(await log.append([ENTRY, ENTRY]))
        after = log.crash()
        with pytest.raises(PloyzError) as caught:
            await log.append([ENTRY])
        assert caught.value.code is Code.LOG_FAILED
        assert list(await after.read(0, 10)) == records
        (third,) = await after.append([ENTRY])
        assert third.previous_hash == records[1].hash
        assert log.head == 2

    anyio.run(main, backend="trio")


@pytest.mark.parametrize("written", [True, False])
def test_a_failed_commit_may_or_may_not_be_found_after_the_crash(written: bool) -> None:
    async def main() -> None:
        log = MemoryLog(SystemClock())
        await log.append([ENTRY])
        log.fail_next_append(written=written)
        with pytest.raises(PloyzError) as caught:
            await log.append([ENTRY])
        assert caught.value.code is Code.OUTCOME_UNKNOWN
        with pytest.raises(PloyzError) as caught:
            await log.read(0, 1)
        assert caught.value.code is Code.LOG_FAILED
        after = log.crash()
        assert after.head == (2 if written else 1)
        await after.append([ENTRY])

    anyio.run(main, backend="trio")
