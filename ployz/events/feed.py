"""One log, many readers: each follows from its own position, and a slow one holds up nobody.

Nothing is pushed and nothing is buffered: an append only says that there is more, and readers come and read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import anyio

from ployz.errors import Code, Failed, Unreachable
from ployz.events.log import Entry, EventLog, Record, Row
from ployz.events.types import FactMirrored, StepBegun
from ployz.ids import OperationId
from ployz.killpoints import reach


class Feed:
    """An `EventLog` that tells when it grew. Everybody who appends to the log appends through its feed."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._grown = anyio.Event()
        self._failed = anyio.Event()

    @property
    def head(self) -> int:
        return self._log.head

    async def append(self, entries: Sequence[Entry]) -> Sequence[Record]:
        before = self._log.head
        _reach("before", entries)
        try:
            records = await self._log.append(entries)
        except (Failed, Unreachable) as error:
            if error.code is not Code.STATE_FULL:  # then it is as it was, and takes more when there is room
                self._failed.set()
            raise
        finally:
            # Also when the caller was cancelled: what it began to write may have been written.
            if self._log.head > before:
                self._grown.set()
                self._grown = anyio.Event()
        _reach("after", entries)
        return records

    async def run(self) -> NoReturn:
        """Until the log has failed. `Failed` (LOG_FAILED): it takes nothing more, and what its last commit did is known
        to whoever opens it again. A node without its log can promise nothing: it ends, and its supervisor starts it.
        """
        await self._failed.wait()
        raise Failed(
            Code.LOG_FAILED,
            "the event log could not be written, so this node ends: what is on the disk is read at the next start",
            "Is the disk full, or broken? The log is in the state folder.",
        )

    async def wait(self, after: int, *, timeout_s: float) -> bool:
        """True as soon as there is a record past `after`; False when none came in time."""
        with anyio.move_on_after(timeout_s):
            while self._log.head <= after:
                await self._grown.wait()
        return self._log.head > after

    async def next(self, after: int, *, limit: int, wait_s: float) -> Sequence[Record]:
        """Records past `after`, at most `limit`. Waits up to `wait_s` for the first one; empty when none came."""
        return await self._log.read(after, limit) if await self.wait(after, timeout_s=wait_s) else ()

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        return await self._log.read(after, limit)

    async def at(self, seqs: Sequence[int]) -> Sequence[Record]:
        return await self._log.at(seqs)

    async def rows(self, after: int, limit: int) -> Sequence[Row]:
        return await self._log.rows(after, limit)

    async def unfindable(self, after: int, limit: int) -> Sequence[int]:
        return await self._log.unfindable(after, limit)

    async def find(self, operation_id: OperationId, step: str) -> Record | None:
        return await self._log.find(operation_id, step)

    async def of_operation(self, operation_id: OperationId) -> Sequence[Record]:
        return await self._log.of_operation(operation_id)

    async def aclose(self) -> None:
        await self._log.aclose()


def _reach(moment: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        reach(moment, "append", subject_of(entry))


def subject_of(entry: Entry) -> str:
    """What an entry is about, as kill points name it: an intent by its action, a mirrored fact by the fact."""
    match entry.event:
        case StepBegun(step):
            return f"{step.partition(':')[0]}.begun"
        case FactMirrored(fact=fact):
            return fact.event_name
        case other:
            return other.event_name
