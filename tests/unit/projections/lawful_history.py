"""Histories as an authority commits them: each operation begins once and is decided once, and epochs only rise.

Between the decisions stands everything else that a log can hold, as `any_history` makes it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import define, evolve, field
from hypothesis import strategies as st

from ployz.events.log import Record
from ployz.events.types import (
    DeployCommitted,
    Event,
    Fact,
    OperationAborted,
    OperationKind,
    OperationStarted,
    RoundEvidence,
    SlotPlacement,
    SnapshotTaken,
    VolumePlacement,
    VolumeRemoved,
    VolumeTakenOver,
)
from ployz.ids import Namespace, OperationId, ServiceName, SlotName, VolumeName, VolumeRef
from ployz.projections.folded import Folded
from tests.golden import samples
from tests.unit.projections.any_history import BEGINNING, EVENTS, OPERATIONS, of_operation, record

_DECISIONS: Final = (OperationStarted, DeployCommitted, OperationAborted, VolumeTakenOver, VolumeRemoved)
_OTHERS: Final = tuple(each for each in EVENTS if not isinstance(each, _DECISIONS))
_CONTAINERS: Final = tuple(each for each in EVENTS if each.event_name.startswith(("container.", "address.")))
_OWN: Final = tuple(each for each in _OTHERS if not isinstance(each, Fact))
_NAMESPACES: Final = tuple(Namespace(each) for each in ("production", "shop"))
_VOLUMES: Final = tuple(VolumeName(each) for each in ("data", "wal"))
_MACHINES: Final = (samples.A, samples.B)


@st.composite
def lawful_histories(draw: st.DrawFn) -> list[Record]:
    cluster = _Cluster(draw)
    for event in BEGINNING:
        cluster.add(event)
    steps = (
        *([cluster.commit] * 4),
        cluster.abort,
        cluster.start,
        cluster.take_over,
        cluster.remove,
        cluster.other,
        cluster.own,
        *([cluster.container] * 2),
    )
    many = draw(st.integers(0, 50))
    for step in draw(st.lists(st.sampled_from(steps), min_size=many, max_size=many)):
        step()
    return cluster.records


@define
class _Cluster:
    draw: Any
    records: list[Record] = field(factory=list)
    folded: Folded = field(factory=Folded)
    made: int = 0

    def add(self, event: Event, operation_id: OperationId | None = None) -> None:
        made = record(self.records, event, operation_id)
        self.folded.apply(made)
        self.records.append(made)

    def other(self) -> None:
        self._one_of(_OTHERS)

    def own(self) -> None:
        self._one_of(_OWN)

    def container(self) -> None:
        self._one_of(_CONTAINERS)

    def _one_of(self, events: Sequence[Event]) -> None:
        with suppress(KeyError):  # of something that is not there: `Folded` is as it was
            operation_id = self.draw(st.sampled_from(OPERATIONS[:3]))
            of_none = self.draw(st.integers(0, 4)) == 0
            event = of_operation(self.draw(st.sampled_from(events)), operation_id)
            self.add(event, None if of_none else operation_id)

    def start(self) -> None:
        namespace, operation_id = self.draw(st.sampled_from(_NAMESPACES)), self._new_id()
        self.add(
            OperationStarted(operation_id, OperationKind.DEPLOY, namespace, samples.A, _MACHINES, self.made, "ab" * 32)
        )

    def commit(self) -> None:
        if (undecided := self._undecided()) is None:
            self.start()
            undecided = self._undecided()
        assert undecided is not None
        operation_id, namespace = undecided
        there = self._volumes(namespace)
        moved = self._some([each.volume for each in there])
        kept = self._some(there) if self.draw(st.integers(0, 2)) == 0 else there  # a deploy may leave some out
        volumes = [self._moved(each) if each.volume in moved else each for each in kept]
        known = {each.volume for each in there}
        fresh = self._some([VolumeRef(namespace, each) for each in _VOLUMES if VolumeRef(namespace, each) not in known])
        volumes += [VolumePlacement(each, self._machine(), 1) for each in fresh]
        self.add(
            DeployCommitted(
                operation_id=operation_id,
                kind=OperationKind.MIGRATE if moved else OperationKind.DEPLOY,
                namespace=namespace,
                manifest=f'{{"commit":{len(self.records)}}}',
                slots=tuple(self._slot(namespace, number, operation_id) for number in self._some([1, 2, 3])),
                volumes=tuple(volumes),
                evidence=tuple(
                    RoundEvidence(each.volume, number, None, f"{operation_id}-{number}", len(self.records), 9, 1)
                    for each in volumes
                    if each.volume in moved
                    for number in (1, 2)
                ),
            )
        )

    def abort(self) -> None:
        if (undecided := self._undecided()) is not None:
            operation_id, namespace = undecided
            self.add(OperationAborted(operation_id, namespace, samples.A, "it took too long"))

    def take_over(self) -> None:
        namespace = self.draw(st.sampled_from(_NAMESPACES))
        taken = [self._moved(each) for each in self._some(self._volumes(namespace))]
        if not taken or self.folded.view.placement.namespace(namespace) is None:
            return
        operation_id, guid = self._new_id(), len(self.records)
        self.add(
            VolumeTakenOver(
                operation_id=operation_id,
                namespace=namespace,
                by=samples.B,
                from_machine=samples.A,
                volumes=tuple(taken),
                snapshots=tuple(SnapshotTaken(each.volume, f"{operation_id}-last", guid) for each in taken),
                slots=tuple(self._slot(namespace, number, operation_id) for number in self._some([1, 2])),
            )
        )

    def remove(self) -> None:
        if volumes := sorted(self.folded.view.placement.volumes):
            self.add(VolumeRemoved(self.draw(st.sampled_from(volumes))))

    # ---------------------------------------------------------------- what there is

    def _new_id(self) -> OperationId:
        """Made out of order now and then, as on machines whose clocks differ; and one in five by hand."""
        self.made += 1
        if self.draw(st.integers(0, 4)) == 0:
            return OperationId(f"op-{self.made}")
        return OperationId.make(1_700_000_000_000 + self.draw(st.integers(0, 9)), self.made.to_bytes(6))

    def _undecided(self) -> tuple[OperationId, Namespace] | None:
        undecided = self.folded.view.operations.undecided()
        if not undecided:
            return None
        chosen = self.draw(st.sampled_from(undecided))
        return chosen.operation_id, chosen.namespace

    def _volumes(self, namespace: Namespace) -> list[VolumePlacement]:
        owned = self.folded.view.placement.volumes
        return [owned[volume] for volume in sorted(owned) if volume.namespace == namespace]

    def _moved(self, volume: VolumePlacement) -> VolumePlacement:
        return evolve(volume, owner=self._machine(), epoch=volume.epoch + 1)

    def _machine(self) -> Any:
        return self.draw(st.sampled_from(_MACHINES))

    def _some(self, of: list[Any]) -> list[Any]:
        return [each for each in of if self.draw(st.booleans())]

    def _slot(self, namespace: Namespace, number: int, operation_id: OperationId) -> SlotPlacement:
        return SlotPlacement(
            service=ServiceName("db"),
            slot=SlotName(f"slot-{number}"),
            machine=self._machine(),
            ipv6=f"fd12:3456:789a:1::{number}",
            ipv4=f"10.211.0.{number}",
            image_id="sha256:" + "ab" * 32,
            template_hash="cd" * 32,
            operation_id=operation_id,
        )
