"""What this machine could not make agree with the facts, and since when: for the doctor. A restart forgets it."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
from attrs import define, field

from ployz.errors import Problem
from ployz.ids import Namespace
from ployz.plan.doctor.readings import UnsettledReading


@define
class Unsettled:
    _found: dict[Namespace, dict[str, tuple[float, Problem]]] = field(factory=dict, init=False)
    """By what it is about: since when, and what was wrong the last time."""

    def found(self, namespace: Namespace, problems: Mapping[str, Problem]) -> None:
        """All that a whole look at the namespace found: what is not among them is settled."""
        before, now_s = self._found.pop(namespace, {}), anyio.current_time()
        if problems:
            self._found[namespace] = {
                subject: (before[subject][0] if subject in before else now_s, problem)
                for subject, problem in problems.items()
            }

    def readings(self) -> list[UnsettledReading]:
        now_s = anyio.current_time()
        return [
            UnsettledReading(subject, round((now_s - since_s) * 1000), problem)
            for found in self._found.values()
            for subject, (since_s, problem) in sorted(found.items())
        ]
