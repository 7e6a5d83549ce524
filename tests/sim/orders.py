"""What operators ask for in a simulated run, as values."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId
from tests.sim.faults import Moment


@frozen
class Migrate:
    by: MachineId
    to: MachineId
    beside: bool = False
    """Given at the same time as the order before it, by another operator. Else when that one has its answer."""

    def __str__(self) -> str:
        return f"{_when(self.beside)}on {self.by}: migrate production/db --to {self.to}"


@frozen
class Deploy:
    """The same service with another command: it is replaced where it is."""

    by: MachineId
    command: str
    beside: bool = False

    def __str__(self) -> str:
        return f"{_when(self.beside)}on {self.by}: deploy with command {self.command!r}"


@frozen
class Abort:
    """Of whatever is undecided then, by another operator."""

    by: MachineId
    when: Moment
    beside: bool = True

    def __str__(self) -> str:
        return f"{_when(self.beside)}on {self.by}: abort what goes on at {self.when}"


Order = Migrate | Deploy | Abort


def _when(beside: bool) -> str:
    return "meanwhile, " if beside else ""
