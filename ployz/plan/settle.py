"""What one machine has to do so that it agrees with the facts: after a commit, an abort, a start, a crash.

The same pure decision serves all four, so that recovery is not a second protocol. It never acts for an operation that
is undecided: that one's containers and datasets belong to its coordinator until the fact log says how it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from ployz.errors import Code, Problem
from ployz.events.types import SlotPlacement, VolumePlacement
from ployz.ids import OperationId, SlotRef, VolumeRef
from ployz.projections.operations import Status

# ---------------------------------------------------------------- containers


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
    wanted = dict(placed)
    removals: list[ContainerAction] = []
    rest: list[ContainerAction] = []
    filled = set()
    for each in found:
        placement = wanted.get(each.slot)
        if placement is not None and placement.operation_id == each.operation_id:
            filled.add(each.slot)
            if each.running:
                rest.append(Keep(each.name, each.slot))
            elif gate.closed_by is None and each.wanted:
                rest.append(Start(each.name, each.slot))
        elif status_of(each.operation_id) is not Status.UNDECIDED:
            removals.append(Remove(each.name, each.slot))
    if gate.closed_by is None:
        rest += [Create(slot, placement) for slot, placement in placed if slot not in filled]
    return removals + rest


# ---------------------------------------------------------------- volumes


@frozen
class FoundDataset:
    """A dataset that stands for a volume here."""

    volume: VolumeRef
    epoch: int
    """0: received, never committed."""
    mounted: bool
    readonly: bool
    snapshots: tuple[str, ...]
    """The names of ployz's own, oldest first."""
    touched_by: OperationId | None
    """The last operation that prepared a receive into it, by this machine's log."""
    touched_base: str | None
    """The snapshot that receive began from; None: in full, so that the dataset itself was made by it."""


@frozen
class Adopt:
    """It is ours: its epoch property says so, and it may be written."""

    volume: VolumeRef
    epoch: int


@frozen
class Retire:
    """Another machine owns the volume: this copy is a base for an incremental way back, and nothing else."""

    volume: VolumeRef


@frozen
class DiscardPartial:
    """A receive that its operation never committed. Back to `base`, or gone where there was none."""

    volume: VolumeRef
    base: str | None


@frozen
class Prune:
    """Snapshots of ended operations that no way back needs."""

    volume: VolumeRef
    snapshots: tuple[str, ...]


@frozen
class Missing:
    """The facts say that this machine owns the volume, and there is no dataset: somebody must look."""

    problem: Problem


VolumeAction = Adopt | Retire | DiscardPartial | Prune | Missing


def settle_volume(
    volume: VolumeRef,
    owned: VolumePlacement | None,
    found: FoundDataset | None,
    *,
    base: str | None,
    operation_of: Callable[[str], OperationId | None],
    status_of: Callable[[OperationId], Status | None],
) -> list[VolumeAction]:
    """What to do with one volume here. `owned`: the fact, if it names this machine. `base`: of its last move."""
    if found is None:
        if owned is None:
            return []
        text = f"volume {volume} is owned by this machine, and its dataset is not there"
        advice = "Look whether its pool is imported. No other machine will start the service meanwhile."
        return [Missing(Problem(Code.UNKNOWN_VOLUME, text, advice))]
    actions: list[VolumeAction] = []
    if owned is not None:
        if found.epoch != owned.epoch or found.readonly:
            actions.append(Adopt(volume, owned.epoch))
    elif found.touched_by is not None and _ended(status_of(found.touched_by)) and found.epoch == 0:
        return [DiscardPartial(volume, None)]
    elif found.touched_by is not None and status_of(found.touched_by) is Status.ABORTED:
        actions.append(DiscardPartial(volume, found.touched_base))
    elif found.mounted or not found.readonly:
        if found.touched_by is None or status_of(found.touched_by) is not Status.UNDECIDED:
            actions.append(Retire(volume))
    doomed = tuple(
        name
        for name in found.snapshots
        if name != base and (made_by := operation_of(name)) is not None and _ended(status_of(made_by))
    )
    if doomed:
        actions.append(Prune(volume, doomed))
    return actions


def _ended(status: Status | None) -> bool:
    return status is not Status.UNDECIDED
