"""An exported log as a source of events: no node, and no event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from ployz.actors.messages.events import Exported, Finding, Verified
from ployz.cli.event_source import PAGE, Selection
from ployz.config import LOG_NAME
from ployz.events import chain
from ployz.events.codec import CODEC
from ployz.events.export import ExportedLog, ExportWriter
from ployz.events.files import FileKind
from ployz.events.log import Record, Row
from ployz.events.mark import read_mark
from ployz.events.tables import EVENT_LOG, EXPORTED_LOG


class ExportedSource:
    """A context manager."""

    def __init__(self, path: Path, kind: FileKind = EXPORTED_LOG) -> None:
        """`Refused`, `Corrupt`: as `ExportedLog`."""
        self._log = ExportedLog(path, kind=kind)
        self._mark = read_mark(path) if kind is EVENT_LOG else None
        """A copy has none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.__exit__(kind, error, trace)

    def newest(self, limit: int, selection: Selection) -> Sequence[Record]:
        return deque(self.after(0, selection), maxlen=limit)

    def after(self, seq: int, selection: Selection) -> Iterator[Record]:
        return (chain.to_record(row, CODEC) for row in self._log.rows(seq) if _matches(row, selection))

    def at(self, seq: int) -> Record | None:
        return self._log.find_seq(seq)

    def verify(self) -> Verified:
        head = 0

        def counted() -> Iterator[Row]:
            nonlocal head
            for row in self._log.rows():
                head = row.seq
                yield row

        findings = [Finding(each.seq, each.text) for each in chain.verify(counted(), CODEC)]
        unfindable = map(chain.unfindable_row, self._log.unfindable())
        findings += [Finding(each.seq, each.text) for each in unfindable]
        if self._mark is not None and self._mark.position > head:
            lost = f"{head + 1} to {self._mark.position} are missing: so far it had got when it last answered"
            findings.append(Finding(head + 1, lost))
        return Verified(head, tuple(findings))

    def export(self, path: Path) -> Exported:
        copied, rows = 0, self._log.rows()
        with ExportWriter(path) as writer:
            while page := tuple(islice(rows, PAGE)):
                writer.write(page)
                copied += len(page)
        return Exported(str(path), copied)


def exported(path: Path) -> ExportedSource:
    return ExportedSource(path)


def left_by_ployzd(state_dir: Path) -> ExportedSource:
    """The log itself, where no ployzd runs: what it refused to start with. `Refused` (LOG_LOCKED): one runs."""
    return ExportedSource(state_dir / LOG_NAME, EVENT_LOG)


def _matches(row: Row, selection: Selection) -> bool:
    return selection.stream in (None, row.stream) and selection.operation_id in (None, row.operation_id)
