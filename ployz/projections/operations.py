"""What was started and how it was decided: a fold of the operation facts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import evolve, frozen

from ployz.events.types import (
    DeployCommitted,
    Fact,
    OperationAborted,
    OperationKind,
    OperationStarted,
    RoundEvidence,
    VolumeTakenOver,
)
from ployz.ids import MachineId, Namespace, OperationId


class Status(StrEnum):
    UNDECIDED = "undecided"
    COMMITTED = "committed"
    ABORTED = "aborted"


@frozen
class Operation:
    operation_id: OperationId
    kind: OperationKind
    namespace: Namespace
    coordinator: MachineId
    participants: tuple[MachineId, ...]
    lock_token: int
    status: Status
    started_ms: int
    decided_ms: int = 0
    position: int = 0
    """Of the fact that decided it; 0: undecided."""
    reason: str = ""
    """Why it was aborted, and by whom."""
    evidence: tuple[RoundEvidence, ...] = ()


class Operations:
    def __init__(self) -> None:
        self._operations: dict[OperationId, Operation] = {}

    @property
    def all(self) -> Mapping[OperationId, Operation]:
        """Oldest first: an operation id sorts by the time it was made."""
        return self._operations

    def get(self, operation_id: OperationId) -> Operation | None:
        return self._operations.get(operation_id)

    def status(self, operation_id: OperationId) -> Status | None:
        """None: no fact names it."""
        operation = self._operations.get(operation_id)
        return operation.status if operation else None

    def undecided(self) -> list[Operation]:
        return [each for each in self._operations.values() if each.status is Status.UNDECIDED]

    def apply(self, fact: Fact, position: int, at_ms: int) -> None:
        match fact:
            case OperationStarted():
                self._operations[fact.operation_id] = Operation(
                    operation_id=fact.operation_id,
                    kind=fact.kind,
                    namespace=fact.namespace,
                    coordinator=fact.coordinator,
                    participants=fact.participants,
                    lock_token=fact.lock_token,
                    status=Status.UNDECIDED,
                    started_ms=at_ms,
                )
            case DeployCommitted():
                self._operations[fact.operation_id] = evolve(
                    self._operations[fact.operation_id],
                    status=Status.COMMITTED,
                    position=position,
                    decided_ms=at_ms,
                    evidence=fact.evidence,
                )
            case OperationAborted():
                self._operations[fact.operation_id] = evolve(
                    self._operations[fact.operation_id],
                    status=Status.ABORTED,
                    position=position,
                    decided_ms=at_ms,
                    reason=f"{fact.by}: {fact.reason}",
                )
            case VolumeTakenOver():
                self._operations[fact.operation_id] = Operation(
                    operation_id=fact.operation_id,
                    kind=OperationKind.TAKEOVER,
                    namespace=fact.namespace,
                    coordinator=fact.by,
                    participants=tuple(sorted({each.owner for each in fact.volumes})),
                    lock_token=0,
                    status=Status.COMMITTED,
                    started_ms=at_ms,
                    decided_ms=at_ms,
                    position=position,
                    reason=f"{fact.by}: {fact.from_machine} is off",
                )
            case _:
                pass
