"""The outcomes of a run on disk, a line each as they come: an interrupted run goes on there, and several labs write."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from ployz.lab.crash.case import Outcome


@frozen
class Journal:
    path: Path

    def begin(self, commit: str, *, again: bool) -> None:
        """Of this commit; what is there of another one, or all of it, makes place."""
        head = json.dumps({"commit": commit})
        if again or self._lines()[:1] != [head]:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(f"{head}\n")

    def expect(self, cases: int) -> None:
        """How many there are, tried or not."""
        self._append({"cases": cases})

    def expected(self) -> int:
        return max((each["cases"] for each in self._entries() if "cases" in each), default=0)

    def add(self, outcome: Outcome) -> None:
        self._append(asdict(outcome))

    def outcomes(self) -> Sequence[Outcome]:
        return [Outcome(**each) for each in self._entries() if "ended" in each]

    def done(self) -> frozenset[str]:
        """The names of the cases that were tried."""
        return frozenset(each.name for each in self.outcomes())

    def _append(self, entry: dict[str, Any]) -> None:
        """One write, so that lines of several labs never mix."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, f"{json.dumps(entry)}\n".encode())
        finally:
            os.close(descriptor)

    def _entries(self) -> Sequence[dict[str, Any]]:
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> Sequence[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []
