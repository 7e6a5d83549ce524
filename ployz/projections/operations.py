"""What was started and how it was decided: a fold of the operation facts.

What is undecided is here whole, and so are the last ones that were decided; of the rest, how each ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final

from attrs import define, evolve, field, frozen

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
from ployz.projections.archive import Archive, Archived

WHOLE_MAX: Final = 1_000
"""So many decided ones are kept whole. Whoever needs more of an older one than how it ended reads it in the log."""


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
    started_position: int = 0
    """Of the fact that started it."""


@define
class Operations:
    _undecided: dict[OperationId, Operation] = field(factory=dict)
    _decided: dict[OperationId, Operation] = field(factory=dict)
    """The last ones, in the order in which they were decided."""
    _archive: Archive = field(factory=Archive)
    _namespaces: set[Namespace] = field(factory=set)

    @property
    def all(self) -> Mapping[OperationId, Operation]:
        """Those that are here whole, oldest first: an operation id sorts by the time it was made."""
        return dict(sorted((self._undecided | self._decided).items()))

    @property
    def namespaces(self) -> Collection[Namespace]:
        """Those in which anything was ever decided."""
        return self._namespaces

    def __getitem__(self, operation_id: OperationId) -> Operation:
        """Of one that is undecided, or was decided just now."""
        operation = self.get(operation_id)
        if operation is None:
            raise KeyError(operation_id)
        return operation

    def get(self, operation_id: OperationId) -> Operation | None:
        """None: no fact names it, or it is archived."""
        return self._undecided.get(operation_id) or self._decided.get(operation_id)

    def archived(self, operation_id: OperationId) -> Archived | None:
        """Where the log has one that is too old to be here whole."""
        return self._archive.get(operation_id)

    def status(self, operation_id: OperationId) -> Status | None:
        """None: no fact names it. However long ago it was decided."""
        whole = self.get(operation_id)
        if whole is not None:
            return whole.status
        archived = self._archive.get(operation_id)
        if archived is None:
            return None
        return Status.COMMITTED if archived.committed else Status.ABORTED

    def undecided(self) -> list[Operation]:
        return list(self._undecided.values())

    def copy(self) -> Operations:
        return Operations(dict(self._undecided), dict(self._decided), self._archive, set(self._namespaces))

    def apply(self, fact: Fact, position: int, at_ms: int) -> None:
        match fact:
            case OperationStarted():
                self._undecided[fact.operation_id] = Operation(
                    operation_id=fact.operation_id,
                    kind=fact.kind,
                    namespace=fact.namespace,
                    coordinator=fact.coordinator,
                    participants=fact.participants,
                    lock_token=fact.lock_token,
                    status=Status.UNDECIDED,
                    started_ms=at_ms,
                    started_position=position,
                )
            case DeployCommitted():
                self._decide(
                    evolve(
                        self[fact.operation_id],
                        status=Status.COMMITTED,
                        position=position,
                        decided_ms=at_ms,
                        evidence=fact.evidence,
                    )
                )
            case OperationAborted():
                self._decide(
                    evolve(
                        self[fact.operation_id],
                        status=Status.ABORTED,
                        position=position,
                        decided_ms=at_ms,
                        reason=f"{fact.by}: {fact.reason}",
                    )
                )
            case VolumeTakenOver():
                self._decide(
                    Operation(
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
                        started_position=position,
                    )
                )
            case _:
                pass

    def _decide(self, operation: Operation) -> None:
        self._undecided.pop(operation.operation_id, None)
        self._decided[operation.operation_id] = operation
        self._namespaces.add(operation.namespace)
        if len(self._decided) > WHOLE_MAX:
            old = self._decided.pop(next(iter(self._decided)))
            self._archive.add(
                old.operation_id, Archived(old.status is Status.COMMITTED, old.started_position, old.position)
            )
