"""What one machine does with the containers of one service, so that what runs is what the facts place there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from ployz.events.types import SlotPlacement
from ployz.ids import OperationId, SlotRef
from ployz.projections.operations import Status


@frozen
class FoundContainer:
    """A container of one service, as Docker lists it."""

    name: str
    slot: SlotRef
    operation_id: OperationId
    running: bool
    wanted: bool
    """Stopped, it is to be started: it never ran, ployz itself stopped it, or its restart policy says so."""


@frozen
class Keep:
    container: str
    slot: SlotRef


@frozen
class Start:
    """The container is there and stopped: mount its volumes, then start it."""

    container: str
    slot: SlotRef


@frozen
class Create:
    """There is no container for a slot that the facts place here."""

    slot: SlotRef
    placement: SlotPlacement


@frozen
class Remove:
    container: str
    slot: SlotRef


ContainerAction = Keep | Start | Create | Remove


@frozen
class Gate:
    """Whether this machine may start the service now."""

    closed_by: OperationId | None
    """An undecided operation that fenced the service here."""


def settle_containers(
    placed: Sequence[tuple[SlotRef, SlotPlacement]],
    found: Iterable[FoundContainer],
    *,
    gate: Gate,
    status_of: Callable[[OperationId], Status | None],
) -> list[ContainerAction]:
    """What to do with one service's containers here, removals first so that addresses and volumes are free.

    `placed`: the slots of the service that the facts place on this machine. `status_of`: None for an operation that
    no fact names, which ended before it began.
    """
    containers = list(found)
    wanted = dict(placed)
    candidates = {each.slot for each in containers if status_of(each.operation_id) is Status.UNDECIDED and each.running}
    removals: list[ContainerAction] = []
    rest: list[ContainerAction] = []
    filled = set()
    for each in containers:
        placement = wanted.get(each.slot)
        startable = gate.closed_by is None and each.slot not in candidates
        if placement is not None and placement.operation_id == each.operation_id:
            filled.add(each.slot)
            if each.running:
                rest.append(Keep(each.name, each.slot))
            elif startable and each.wanted:
                rest.append(Start(each.name, each.slot))
        elif status_of(each.operation_id) is not Status.UNDECIDED:
            removals.append(Remove(each.name, each.slot))
    if gate.closed_by is None:
        # Not beside a running candidate: it has the slot's address and volumes.
        missing = [(slot, placement) for slot, placement in placed if slot not in filled | candidates]
        rest += [Create(slot, placement) for slot, placement in missing]
    return removals + rest
