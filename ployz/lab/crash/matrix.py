"""Which cases there are: every point that a real migration reaches, on every machine, by who coordinates.

The points are not written down anywhere: one migration by each coordinator is listened to.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from attrs import frozen

from ployz import killpoints
from ployz.lab.crash.stage import Stage
from ployz.lab.programs import failed, side_by_side

_REACHED: Final = re.compile(r"ployz\.killpoints: reached (\S+)$", re.MULTILINE)
_NOT_OF_A_MIGRATION: Final = ("node.started", "container.exited", "container.restarted")
MOVE_S: Final = 60


class Role(StrEnum):
    SOURCE = "source"
    TARGET = "target"
    THIRD = "third"


@frozen
class Cast:
    """Which machine plays which part in one migration."""

    source: str
    target: str
    third: str

    def machine(self, role: Role) -> str:
        return {Role.SOURCE: self.source, Role.TARGET: self.target, Role.THIRD: self.third}[role]

    @classmethod
    def of(cls, stage: Stage, source: str) -> Cast:
        """The target is the next machine round: in turn each plays every part, the authority too."""
        around = [*stage.machines, *stage.machines]
        at = around.index(source)
        return cls(source, around[at + 1], around[at + 2])


@frozen
class Case:
    coordinator: Role
    victim: Role
    point: str
    """`before/append/vote.cast:2`."""

    @property
    def what(self) -> str:
        return f"kill of {self.victim}"

    @property
    def when(self) -> str:
        return f"at {self.point}"

    def __str__(self) -> str:
        return f"{self.coordinator} coordinates, {self.what} {self.when}"


def listen(stage: Stage) -> Sequence[Case]:
    """Moves the service three times, once by each coordinator."""
    side_by_side(lambda machine: stage.restart(machine, killpoints.LISTEN), stage.machines)
    cases = [case for coordinator in Role for case in _listen_to(stage, coordinator)]
    side_by_side(stage.restart, stage.machines)
    return cases


def _listen_to(stage: Stage, coordinator: Role) -> Iterator[Case]:
    cast = Cast.of(stage, stage.slot(stage.machines[0]).machine)
    before = {role: len(stage.log_of(cast.machine(role))) for role in Role}
    moving = stage.migrate(cast.machine(coordinator), cast.target)
    said, _ = moving.communicate(timeout=MOVE_S)
    if moving.returncode != 0:
        raise failed(f"the migration that was listened to failed: {said}")
    for victim in Role:
        times: Counter[str] = Counter()
        for point in _REACHED.findall(stage.log_of(cast.machine(victim))[before[victim] :]):
            times[point] += 1
            if not point.endswith(_NOT_OF_A_MIGRATION):
                yield Case(coordinator, victim, f"{point}:{times[point]}")
