"""What else can go wrong while a service moves: each fault is done to the machines that play a part, and undone again.

A fault happens at a moment: in a phase, where the coordinator is stopped for as long as it takes to do it, or when a
part of the stream was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen

from ployz.errors import Failed
from ployz.lab.crash import freezing
from ployz.lab.crash.matrix import Cast, Role
from ployz.lab.crash.stage import Stage
from ployz.plan.effects import Phase

POOL_SIZE: Final = "1G"
SHORT_S: Final = 5.0
LONG_S: Final = 45.0
"""Longer than the lock's lease, and than a candidate's."""
BALLAST_MIB: Final = 48
LIMIT: Final = "100mbit"
"""With it the ballast takes some seconds, and a part of it can be met."""
HOUR_MS: Final = 3_600_000


class Fault(Protocol):
    @property
    def hits(self) -> Sequence[Role]:
        """Who should not be asked to write down what was acknowledged meanwhile."""
        ...

    @property
    def held_s(self) -> float: ...

    @property
    def kind(self) -> str:
        """Faults of one kind prove the same where they strike: a run that tries one of each tries one of these."""
        ...

    def do(self, stage: Stage, cast: Cast) -> None: ...

    def undo(self, stage: Stage, cast: Cast) -> None: ...


@frozen
class PowerCut:
    hits: tuple[Role, ...]
    held_s: float = SHORT_S

    @property
    def kind(self) -> str:
        return str(self) if self.held_s <= SHORT_S else "power cut of a coordinator for long"

    def __str__(self) -> str:
        how_long = f" for {self.held_s:.0f} s" if self.held_s > SHORT_S else ""
        return f"power cut of {' and '.join(self.hits)}{how_long}"

    def do(self, stage: Stage, cast: Cast) -> None:
        for role in self.hits:
            stage.lab.crash(cast.machine(role))

    def undo(self, stage: Stage, cast: Cast) -> None:
        for role in self.hits:
            stage.lab.boot(cast.machine(role), pool_size=POOL_SIZE)


@frozen
class Cut:
    """Of a link, for as long as it says."""

    first: Role
    second: Role
    held_s: float
    one_way: bool = False

    @property
    def hits(self) -> tuple[Role, ...]:
        return self.first, self.second

    @property
    def kind(self) -> str:
        if self.held_s > SHORT_S:
            return "link cut for long"
        return f"link cut, {'one way' if self.one_way else 'both ways'}"

    def __str__(self) -> str:
        way = f"{self.first} to {self.second} alone" if self.one_way else f"{self.first} and {self.second}"
        return f"link cut, {way}, for {self.held_s:.0f} s"

    def do(self, stage: Stage, cast: Cast) -> None:
        stage.lab.cut(cast.machine(self.first), cast.machine(self.second), one_way=self.one_way)

    def undo(self, stage: Stage, cast: Cast) -> None:
        stage.lab.heal(cast.machine(self.first), cast.machine(self.second))


@frozen
class DockerDies:
    role: Role
    held_s: float = SHORT_S

    @property
    def hits(self) -> tuple[Role, ...]:
        return (self.role,)

    @property
    def kind(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"dockerd of {self.role} killed"

    def do(self, stage: Stage, cast: Cast) -> None:
        machine = cast.machine(self.role)
        stage.lab.machine(machine).engine(stage.lab.running(machine)).daemon.kill()

    def undo(self, stage: Stage, cast: Cast) -> None:
        machine = cast.machine(self.role)
        stage.lab.machine(machine).engine(stage.lab.running(machine)).bring_up()


@frozen
class PoolFull:
    """Somebody else's dataset has reserved all that was free."""

    role: Role
    held_s: float = SHORT_S

    @property
    def hits(self) -> tuple[Role, ...]:
        return (self.role,)

    @property
    def kind(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"pool of {self.role} full"

    def do(self, stage: Stage, cast: Cast) -> None:
        machine = cast.machine(self.role)
        pool = stage.pool(machine)
        for _ in range(2):  # what is left of the first, to the last megabyte
            free = int(stage.inside(machine, "zfs", "get", "-Hp", "-o", "value", "available", pool))
            with suppress(Failed):
                stage.inside(machine, "zfs", "create", "-o", "mountpoint=none", f"{pool}/filler")
            reserved = int(stage.inside(machine, "zfs", "get", "-Hp", "-o", "value", "reservation", f"{pool}/filler"))
            with suppress(Failed):  # something else was quicker
                stage.inside(machine, "zfs", "set", f"reservation={reserved + free}", f"{pool}/filler")

    def undo(self, stage: Stage, cast: Cast) -> None:
        machine = cast.machine(self.role)
        stage.inside(machine, "zfs", "destroy", f"{stage.pool(machine)}/filler")


@frozen
class ClockStep:
    """Of ployzd's wall clock, there and back again."""

    role: Role
    hours: int
    held_s: float = SHORT_S

    @property
    def hits(self) -> tuple[Role, ...]:
        return (self.role,)

    @property
    def kind(self) -> str:
        return f"wall clock of {self.role}"

    def __str__(self) -> str:
        return f"wall clock of {self.role} stepped by {self.hours:+d} h"

    def do(self, stage: Stage, cast: Cast) -> None:
        self._file(stage, cast).write_text(str(self.hours * HOUR_MS))

    def undo(self, stage: Stage, cast: Cast) -> None:
        self._file(stage, cast).unlink(missing_ok=True)

    def _file(self, stage: Stage, cast: Cast) -> Path:
        return stage.clock_step(cast.machine(self.role))


@frozen
class Suspended:
    """The whole machine stands still, as in a suspend of its host, while its clocks run on."""

    role: Role
    held_s: float = LONG_S

    @property
    def hits(self) -> tuple[Role, ...]:
        return (self.role,)

    @property
    def kind(self) -> str:
        return "suspended for long"

    def __str__(self) -> str:
        return f"{self.role} suspended for {self.held_s:.0f} s"

    def do(self, stage: Stage, cast: Cast) -> None:
        freezing.freeze(stage.lab.running(cast.machine(self.role)))

    def undo(self, stage: Stage, cast: Cast) -> None:
        freezing.thaw(stage.lab.running(cast.machine(self.role)))


@frozen
class FaultCase:
    fault: Fault
    coordinator: Role
    phase: str = ""
    """Empty: it is when `sent` of the ballast was."""
    sent: float = 0.0

    @property
    def what(self) -> str:
        return str(self.fault)

    @property
    def when(self) -> str:
        return f"in {self.phase}" if self.phase else f"at {self.sent:.0%} of the stream"

    def __str__(self) -> str:
        return f"{self.coordinator} coordinates, {self.what} {self.when}"


def all_faults() -> Sequence[FaultCase]:
    return [
        *_in_each(_ALL, lambda: [PowerCut((role,)) for role in Role]),
        *_in_each(_ALL, lambda: [PowerCut((Role.SOURCE, Role.TARGET))]),
        *(
            FaultCase(PowerCut((coordinator,), LONG_S), coordinator, phase)
            for coordinator in (Role.THIRD, Role.TARGET)
            for phase in (Phase.CUT, Phase.COMMIT)
        ),
        *_in_each(_ALL, lambda: [Cut(one, other, SHORT_S, one_way=True) for one, other in permutations(Role, 2)]),
        *_in_each(_RISKY, lambda: [Cut(one, other, LONG_S, one_way=True) for one, other in permutations(_ENDS, 2)]),
        *_in_each(_ALL, lambda: [DockerDies(role) for role in _ENDS]),
        *_in_each([Phase.PREPARE, *_RISKY], lambda: [PoolFull(role) for role in _ENDS]),
        *_in_each(_RISKY, lambda: [ClockStep(role, hours) for role in Role for hours in (1, -1)]),
        *_in_each(_RISKY, lambda: [Suspended(role) for role in Role]),
        *(
            FaultCase(Cut(Role.SOURCE, Role.TARGET, held_s), Role.THIRD, sent=sent)
            for sent in (0.1, 0.5, 0.9)
            for held_s in (SHORT_S, LONG_S)
        ),
    ]


_ENDS: Final = (Role.SOURCE, Role.TARGET)
_ALL: Final = tuple(phase for phase in Phase if phase is not Phase.START)
"""Of a migration: nothing starts in place."""
_RISKY: Final = (Phase.PRECOPY, Phase.CUT, Phase.COMMIT)


def _in_each(phases: Sequence[Phase], faults: Callable[[], Sequence[Fault]]) -> list[FaultCase]:
    return [FaultCase(fault, Role.THIRD, phase) for phase in phases for fault in faults()]
