"""The cluster as it was at a place in a machine's log: folded from the facts that had reached it by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from ployz.cli import human
from ployz.cli.blocks import Block, Fields, Heading, Table
from ployz.errors import Code, Corrupt
from ployz.events.log import Record
from ployz.events.replay import facts_of
from ployz.events.types import Lifecycle, SlotPlacement, VolumePlacement
from ployz.ids import ClusterName, MachineId, OperationId, ServiceRef, SlotRef
from ployz.projections.routing import Route, routes
from ployz.projections.view import ClusterView


@frozen
class ReplayedMachine:
    machine: MachineId
    lifecycle: Lifecycle
    endpoint: str


@frozen
class ReplayedSlot:
    service: ServiceRef
    placement: SlotPlacement


@frozen
class Replayed:
    cluster: ClusterName | None
    position: int
    """Of the last fact; 0: none."""
    seq: int
    """Of the event that brought it to this machine."""
    at_ms: int
    undecided: tuple[OperationId, ...]
    machines: tuple[ReplayedMachine, ...]
    slots: tuple[ReplayedSlot, ...]
    volumes: tuple[VolumePlacement, ...]
    routes: tuple[Route, ...]


def replay(records: Iterable[Record]) -> Replayed:
    """From the beginning of a log. `Corrupt` (LOG_CORRUPT): a fact is missing in it."""
    view, seq, at_ms = ClusterView(), 0, 0
    for record in records:
        for position, mirrored_ms, fact in facts_of([record]):
            if position != view.position + 1:
                text = f"event {record.seq} is fact {position}, and the fact before it was {view.position}"
                raise Corrupt(Code.LOG_CORRUPT, text, "`ployzctl events verify` lists everything that is wrong.")
            view.apply(fact, position, mirrored_ms)
            seq, at_ms = record.seq, mirrored_ms
    return Replayed(
        cluster=view.machines.cluster.cluster if view.machines.cluster else None,
        position=view.position,
        seq=seq,
        at_ms=at_ms,
        undecided=tuple(each.operation_id for each in view.operations.undecided()),
        machines=tuple(ReplayedMachine(m.machine, m.lifecycle, m.endpoint) for m in view.machines.in_order()),
        slots=tuple(ReplayedSlot(ref.service, slot) for ref, slot in view.placement.slots()),
        volumes=tuple(volume for _, volume in sorted(view.placement.volumes.items())),
        routes=tuple(routes(view.placement)),
    )


def render(replayed: Replayed) -> Iterator[Block]:
    last = f"{replayed.position}, event {replayed.seq} of {human.when(replayed.at_ms)}" if replayed.position else "none"
    yield Fields(
        (
            ("cluster", replayed.cluster or "none"),
            ("last fact", last),
            ("undecided", ", ".join(replayed.undecided)),
        )
    )
    yield Heading("Machines")
    yield Table(
        columns=("MACHINE", "LIFECYCLE", "ENDPOINT"),
        rows=tuple((each.machine, each.lifecycle, each.endpoint) for each in replayed.machines),
        empty="none",
        indent=2,
    )
    yield Heading("Placement")
    yield Table(
        columns=("SLOT", "MACHINE", "OPERATION", "IMAGE"),
        spare=("IMAGE",),
        rows=tuple(
            (str(_ref(each)), each.placement.machine, each.placement.operation_id, each.placement.image_id)
            for each in replayed.slots
        ),
        empty="none",
        indent=2,
    )
    yield Heading("Volumes")
    yield Table(
        columns=("VOLUME", "OWNER", "EPOCH"),
        rows=tuple((str(each.volume), each.owner, str(each.epoch)) for each in replayed.volumes),
        right=frozenset({"EPOCH"}),
        empty="none",
        indent=2,
    )
    yield Heading("Routes")
    yield Table(
        columns=("SLOT", "IPV4", "IPV6", "MACHINE"),
        spare=("IPV6",),
        rows=tuple((str(each.slot), each.ipv4, each.ipv6, each.machine) for each in replayed.routes),
        empty="none",
        indent=2,
    )


def _ref(slot: ReplayedSlot) -> SlotRef:
    return SlotRef(slot.service, slot.placement.slot)
