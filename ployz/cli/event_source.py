"""Where the `events` commands read from: the node's own log, through the node, or an exported copy, without any.

Both give the same records in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen

from ployz.actors.messages.events import (
    EventRow,
    EventsPage,
    Exported,
    ExportEvents,
    ReadEvents,
    Verified,
    VerifyEvents,
)
from ployz.cli.call import ANSWER_S, WORK_S, Call, Node
from ployz.errors import Code, Usage
from ployz.events.codec import CODEC
from ployz.events.log import Record
from ployz.ids import OperationId

PAGE: Final = 500
"""Events of one answer, at most."""
FOLLOW_S: Final = 20.0
"""How long the node waits for the next event."""


@frozen
class Selection:
    stream: str | None = None
    operation_id: OperationId | None = None


EVERYTHING: Final = Selection()


class EventSource(Protocol):
    def newest(self, limit: int, selection: Selection) -> Sequence[Record]:
        """The last ones that match, oldest first."""
        ...

    def after(self, seq: int, selection: Selection) -> Iterator[Record]:
        """Those past `seq` that match, up to the end that the log has when it gets there."""
        ...

    def at(self, seq: int) -> Record | None: ...

    def verify(self) -> Verified: ...

    def export(self, path: Path) -> Exported: ...


def source(call: Call) -> AbstractContextManager[EventSource]:
    """What `--file` or `--state-dir` says, or else the node."""
    file: Path | None = call.arguments.file
    folder: Path | None = call.arguments.state_dir
    if file is None and folder is None:
        return nullcontext(NodeLog(call.node))
    from ployz.cli.exported_source import exported, left_by_ployzd

    if file is not None and folder is not None:
        raise Usage(Code.USAGE, "--file and --state-dir name two logs", "Give one of them.")
    return exported(file) if file is not None else left_by_ployzd(folder or Path())


@frozen
class NodeLog:
    node: Node

    def newest(self, limit: int, selection: Selection) -> Sequence[Record]:
        if limit <= PAGE:
            return _records(self._read(-1, limit, selection))
        return deque(self.after(0, selection), maxlen=limit)

    def after(self, seq: int, selection: Selection) -> Iterator[Record]:
        while page := _records(self._read(seq, PAGE, selection)):
            yield from page
            seq = page[-1].seq

    def follow(self, seq: int, selection: Selection) -> Iterator[Record]:
        """Those past `seq`, and whatever comes: it never ends by itself."""
        while True:
            for record in _records(self._read(seq, PAGE, selection, wait_s=FOLLOW_S)):
                yield record
                seq = record.seq

    def at(self, seq: int) -> Record | None:
        found = _records(self._read(seq - 1, 1, EVERYTHING))
        return found[0] if found and found[0].seq == seq else None

    def verify(self) -> Verified:
        return self.node.ask("events", VerifyEvents(), timeout_s=WORK_S)

    def export(self, path: Path) -> Exported:
        return self.node.ask("events", ExportEvents(str(path)), timeout_s=WORK_S)

    def head(self) -> int:
        return self._read(-1, 1, EVERYTHING).head

    def _read(self, seq: int, limit: int, selection: Selection, *, wait_s: float = 0.0) -> EventsPage:
        message = ReadEvents(seq, limit, wait_s, selection.stream, selection.operation_id)
        return self.node.ask("events", message, timeout_s=ANSWER_S + wait_s)


def _records(page: EventsPage) -> list[Record]:
    return [_record(row) for row in page.events]


def _record(row: EventRow) -> Record:
    """`Corrupt` (UNKNOWN_EVENT): the node is newer than this ployzctl."""
    event = CODEC.decode(row.name, row.version, row.payload)
    # The link to the event before stays with the node, which walks the chain itself.
    return Record(row.seq, row.at_ms, row.stream, event, row.operation_id, row.step, previous_hash=b"", hash=row.hash)
