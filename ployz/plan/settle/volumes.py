"""What one machine does with the dataset of one volume: own it, keep it as a base, or let it go.

The epoch says which stay a dataset is from, the log of this machine who received into it, and the facts how that ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from attrs import field, frozen

from ployz.errors import Code, Problem
from ployz.events.types import VolumePlacement
from ployz.ids import MachineId, OperationId, VolumeRef
from ployz.plan.properties import Setting, lacking
from ployz.projections.operations import Status
from ployz.projections.placement import Takeover


@frozen
class FoundDataset:
    """A dataset that stands for a volume here."""

    volume: VolumeRef
    epoch: int
    """0: received, never committed."""
    mounted: bool
    readonly: bool
    quota_bytes: int
    """Of its data alone. 0: none."""
    snapshots: tuple[str, ...]
    """The names of ployz's own, oldest first."""
    touched_by: OperationId | None
    """The last operation that prepared a receive into it, by this machine's log."""
    touched_base: str | None
    """The snapshot that receive began from; None: in full, so that the dataset itself was made by it."""
    broken_off: bool = False
    """A stream into it broke off, and the pool has kept its beginning."""
    total_quota_bytes: int = 0
    """Of data and snapshots together, as an older ployz has set it. 0: none."""
    marked: bool = False
    """As a copy, for tools that snapshot what they find."""
    local: Mapping[str, str] = field(factory=dict)
    """The ZFS properties that were set on it."""

    @property
    def bound_bytes(self) -> int:
        """What was meant to bound its data. 0: nothing."""
        return self.quota_bytes or self.total_quota_bytes


@frozen
class Adopt:
    """It is ours: its epoch property says so, and it may be written."""

    volume: VolumeRef
    epoch: int


@frozen
class Tune:
    """Of the volume that is ours: as its manifest has it, and no copy any more. A service runs without that, too."""

    volume: VolumeRef
    quota_bytes: int
    """Of its data alone, whatever snapshots hold on to. 0: none."""
    settings: tuple[Setting, ...] = ()
    """Properties that the manifest declares, and that it has not."""


@frozen
class Retire:
    """Another machine owns the volume: this copy is a base for an incremental way back, and nothing else. It is marked,
    for tools that snapshot what they find.
    """

    volume: VolumeRef


@frozen
class TakeOver:
    """An operator gave it to this machine, without its owner: back to `snapshot`, and then it is ours."""

    volume: VolumeRef
    snapshot: str
    epoch: int


@frozen
class SetAside:
    """It was taken over while this machine was away: what it has is no part of the volume, and not ours to destroy."""

    volume: VolumeRef
    operation_id: OperationId


@frozen
class DiscardPartial:
    """A receive that its operation never committed. Back to `base`, or gone where there was none."""

    volume: VolumeRef
    base: str | None


@frozen
class AbortReceive:
    """The beginning of a stream, beside all that was received whole: it takes space, and is in the way of others."""

    volume: VolumeRef


@frozen
class Prune:
    """Snapshots of ended operations that no way back needs."""

    volume: VolumeRef
    snapshots: tuple[str, ...]


@frozen
class Missing:
    """The facts say that this machine owns the volume, and what they speak of is not there: somebody must look."""

    problem: Problem


VolumeAction = Adopt | Tune | TakeOver | Retire | SetAside | DiscardPartial | AbortReceive | Prune | Missing


def settle_volume(
    volume: VolumeRef,
    owned: VolumePlacement | None,
    found: FoundDataset | None,
    *,
    me: MachineId,
    base: str | None,
    taken: Takeover | None,
    quota_bytes: int | None,
    settings: Sequence[Setting] = (),
    operation_of: Callable[[str], OperationId | None],
    status_of: Callable[[OperationId], Status | None],
) -> list[VolumeAction]:
    """What to do with one volume here. `owned`: the fact, if it names this machine. `quota_bytes`: as the committed
    manifest declares it (0: none); None: no manifest declares the volume any more. `settings`: the ZFS properties
    that it declares.

    `taken`: how its owner came by it, if that was an operator's word. `base`: the final snapshot of the volume's last
    move; None: it never moved. While an undecided operation is at work on the dataset, nothing: not even pruning,
    since it may be about to send from what would go.
    """
    if found is None:
        return [] if owned is None else [Missing(_no_dataset(volume))]
    makers = {name: operation_of(name) for name in found.snapshots}
    at_work = {found.touched_by, *makers.values()}
    if any(status_of(each) is Status.UNDECIDED for each in at_work if each is not None):
        return []
    actions: list[VolumeAction] = list(_broken_off(found, status_of))
    discarded: OperationId | None = None
    tuned = list(_tuned(found, found.bound_bytes if quota_bytes is None else quota_bytes, settings))
    if owned is not None and taken is not None and found.epoch < owned.epoch:
        return list(_take_over(owned, taken, found, tuned))
    if owned is None and taken is not None and taken.from_machine == me and _was_owned(found, taken, status_of):
        return [SetAside(volume, taken.operation_id)]
    if owned is not None:
        actions += _own(owned, found, base, tuned, status_of)
    elif found.epoch == 0 and found.touched_base is None:
        # No commit ever named it. It goes if this machine's log says who made it, else it is somebody else's.
        ours = found.touched_by is not None and _ended(status_of(found.touched_by))
        return [DiscardPartial(volume, None)] if ours else []
    else:
        discarded = _aborted_receive(found, makers.values(), status_of)
        if discarded is not None:
            actions.append(DiscardPartial(volume, found.touched_base))
        if found.mounted or not found.readonly or not found.marked:
            actions.append(Retire(volume))
    doomed = tuple(
        name
        for name, made_by in makers.items()
        if made_by is not None and made_by != discarded and name != base and _ended(status_of(made_by))
    )
    if doomed:
        actions.append(Prune(volume, doomed))
    return actions


def _broken_off(found: FoundDataset, status_of: Callable[[OperationId], Status | None]) -> Iterator[VolumeAction]:
    """Whose it was is known, and is over; or this log knows of nobody, and the dataset is proven to be ours."""
    over = found.epoch > 0 if found.touched_by is None else _ended(status_of(found.touched_by))
    if found.broken_off and over:
        yield AbortReceive(found.volume)


def _aborted_receive(
    found: FoundDataset, makers: Collection[OperationId | None], status_of: Callable[[OperationId], Status | None]
) -> OperationId | None:
    """The aborted operation that received onto a base here, if what it received is still there."""
    touched_by = found.touched_by
    if touched_by is None or touched_by not in makers or found.touched_base is None:
        return None
    return touched_by if status_of(touched_by) is Status.ABORTED else None


def _own(
    owned: VolumePlacement,
    found: FoundDataset,
    base: str | None,
    tuned: Sequence[VolumeAction],
    status_of: Callable[[OperationId], Status | None],
) -> Iterator[VolumeAction]:
    """A dataset takes its epoch from the commit that made it the volume, and only with proof that it is the one."""
    if found.epoch == owned.epoch:
        if found.readonly:
            yield Adopt(owned.volume, owned.epoch)
        yield from tuned
        return
    if base is not None:
        proven = base in found.snapshots
    else:
        proven = found.touched_by is not None and status_of(found.touched_by) is Status.COMMITTED
    if proven and found.epoch < owned.epoch:
        yield Adopt(owned.volume, owned.epoch)
        yield from tuned
    else:
        yield Missing(_unproven(owned, found, base))


def _tuned(found: FoundDataset, quota_bytes: int, settings: Sequence[Setting]) -> Iterator[VolumeAction]:
    missing = lacking(found.local, settings)
    if found.quota_bytes != quota_bytes or found.total_quota_bytes or missing or found.marked:
        yield Tune(found.volume, quota_bytes, missing)


def _was_owned(found: FoundDataset, taken: Takeover, status_of: Callable[[OperationId], Status | None]) -> bool:
    """It is what this machine owned when the volume was taken from it, whether it had come to adopt it or not."""
    committed = found.touched_by is not None and status_of(found.touched_by) is Status.COMMITTED
    return found.epoch == taken.epoch - 1 or committed


def _take_over(
    owned: VolumePlacement, taken: Takeover, found: FoundDataset, tuned: Sequence[VolumeAction]
) -> Iterator[VolumeAction]:
    if taken.snapshot in found.snapshots:
        yield TakeOver(owned.volume, taken.snapshot, owned.epoch)
        yield from tuned
    else:
        yield Missing(_unproven(owned, found, taken.snapshot))


def _no_dataset(volume: VolumeRef) -> Problem:
    return Problem(
        Code.UNKNOWN_VOLUME,
        f"volume {volume} is owned by this machine, and its dataset is not there",
        "Look whether its pool is imported. No other machine will start the service meanwhile.",
    )


def _unproven(owned: VolumePlacement, found: FoundDataset, base: str | None) -> Problem:
    lacks = f"it lacks the snapshot {base} of its last move" if base else "this log does not say who made it"
    return Problem(
        Code.UNKNOWN_VOLUME,
        f"volume {owned.volume} is owned by this machine at epoch {owned.epoch}, and its dataset has epoch "
        f"{found.epoch}, which nothing proves to be it: {lacks}",
        f"Look where the dataset comes from. If it is the right one: zfs set ployz:epoch={owned.epoch} on it.",
    )


def _ended(status: Status | None) -> bool:
    """By a fact. What no fact names was not made by this cluster's operations, and is left alone."""
    return status in (Status.COMMITTED, Status.ABORTED)
