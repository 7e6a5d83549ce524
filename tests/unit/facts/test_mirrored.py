from __future__ import annotations

import anyio
from hypothesis import given
from hypothesis import strategies as st

from ployz.events.log import Entry
from ployz.events.memory_log import MemoryLog
from ployz.events.types import FactMirrored, NodeStarted
from ployz.facts.mirror import STREAM
from ployz.facts.mirrored import mirrored_fact
from tests.unit.facts.clocks import SchedulerClock
from tests.unit.facts.samples import A, joined
from tests.unit.plan.bounds import BOUNDED


@BOUNDED
@given(st.lists(st.integers(0, 150), max_size=12), st.integers(0, 150))
def test_a_fact_is_found_wherever_in_the_log_it_is(others_before: list[int], others_after: int) -> None:
    """However many events of its own the machine has between the facts."""

    async def main() -> None:
        log = MemoryLog(SchedulerClock())
        other = Entry("node", NodeStarted(A, "1"))
        at = []
        for position, many in enumerate(others_before, start=1):
            fact = Entry(STREAM, FactMirrored(position, bytes(32), joined(A, position)))
            records = await log.append([other] * many + [fact])
            at.append(records[-1])
        await log.append([other] * others_after)
        for position, record in enumerate(at, start=1):
            assert await mirrored_fact(log, position) == record
        assert await mirrored_fact(log, len(at) + 1) is None

    anyio.run(main, backend="trio")
