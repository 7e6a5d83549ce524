"""The outcomes of a run on disk, a line each as they come: an interrupted run goes on there, and several labs write.

Labs also say there which case they take, so that no two take the same.
"""

from __future__ import annotations

import fcntl
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
        """Of this commit; what is there of another one, or all of it, makes place. So do cases that were only begun."""
        head = json.dumps({"commit": commit})
        known = self._lines()
        kept = [] if again or known[:1] != [head] else [line for line in known[1:] if "begun" not in json.loads(line)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in (head, *kept)))

    def claim(self, case: str) -> bool:
        """Whether the caller is to try it: nobody has tried it, or begun to."""
        with self.path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if case in self.done() | self._begun():
                return False
            self._append({"begun": case})
            return True

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

    def unfinished(self) -> frozenset[str]:
        """Begun, and never heard of again."""
        return self._begun() - self.done()

    def _begun(self) -> frozenset[str]:
        return frozenset(each["begun"] for each in self._entries() if "begun" in each)

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
