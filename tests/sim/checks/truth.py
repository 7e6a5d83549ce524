"""What the fact log says, folded by hand and not by the product's projections; and what no fact log may ever say.

Epochs rise by one, an operation is committed or aborted and never both, and only once.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field, frozen

from ployz.events.types import DeployCommitted, Fact, OperationAborted, OperationStarted
from ployz.ids import MachineId, OperationId


@frozen
class Slot:
    machine: MachineId
    operation_id: OperationId
    addresses: frozenset[str]


@define(eq=False)
class Truth:
    """`take` one fact after the other."""

    position: int = 0
    owners: dict[str, MachineId] = field(factory=dict)
    epochs: dict[str, int] = field(factory=dict)
    slots: dict[str, Slot] = field(factory=dict)
    """By `production/db/slot-1`."""
    moved: dict[str, str] = field(factory=dict)
    """Volume -> the final snapshot of its last move."""
    started: dict[OperationId, int] = field(factory=dict)
    ended: dict[OperationId, str] = field(factory=dict)
    """`committed` or `aborted`."""
    homes: list[tuple[int, dict[str, MachineId]]] = field(factory=list)
    """(position, address -> machine), for every position that changed it."""

    def take(self, fact: Fact) -> list[str]:
        """What is wrong with it."""
        self.position += 1
        match fact:
            case OperationStarted():
                self.started[fact.operation_id] = self.position
                return []
            case OperationAborted():
                return self._end(fact.operation_id, "aborted")
            case DeployCommitted():
                wrong = [*self._end(fact.operation_id, "committed"), *self._own(fact)]
                self._place(fact)
                return wrong
            case _:
                return []

    def undecided(self) -> list[OperationId]:
        return [each for each in self.started if each not in self.ended]

    def homes_since(self, position: int) -> Iterable[dict[str, MachineId]]:
        """As it was at `position`, and as it became since."""
        for index in range(len(self.homes) - 1, -1, -1):
            yield self.homes[index][1]
            if self.homes[index][0] <= position:
                return

    def _end(self, operation_id: OperationId, how: str) -> list[str]:
        before = self.ended.setdefault(operation_id, how)
        if before != how:
            return [f"{operation_id} is {before} and {how}"]
        return [] if operation_id in self.started else [f"{operation_id} is {how} and was never started"]

    def _own(self, fact: DeployCommitted) -> Iterable[str]:
        for each in fact.volumes:
            volume = str(each.volume)
            moved = self.owners.get(volume) not in (None, each.owner)
            due = self.epochs.get(volume, 0) + (moved or volume not in self.epochs)
            if each.epoch != due:
                yield f"{volume} gets epoch {each.epoch} by {fact.operation_id}, and {due} is due"
            self.owners[volume], self.epochs[volume] = each.owner, each.epoch

    def _place(self, fact: DeployCommitted) -> None:
        for each in fact.evidence:
            self.moved[str(each.volume)] = each.snapshot  # in order of their rounds
        of_namespace = f"{fact.namespace}/"
        self.slots = {name: slot for name, slot in self.slots.items() if not name.startswith(of_namespace)}
        for slot in fact.slots:
            name = f"{fact.namespace}/{slot.service}/{slot.slot}"
            self.slots[name] = Slot(slot.machine, slot.operation_id, frozenset({slot.ipv6, slot.ipv4}))
        homes = {address: slot.machine for slot in self.slots.values() for address in slot.addresses}
        self.homes.append((self.position, homes))
