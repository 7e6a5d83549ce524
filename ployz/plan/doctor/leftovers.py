"""What lies on a machine without an operation: it is over, or no fact names it. Pure.

What is to go is plan/settle's word, as when ployzd tidies up itself. Here it is said of what ployzd did not get rid of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import frozen

from ployz.errors import Problem
from ployz.host.ports import DatasetState, Keep
from ployz.ids import InvalidName, MachineId, OperationId, ServiceRef, SlotRef, VolumeRef
from ployz.plan import names, settle
from ployz.plan.doctor.readings import Leftover
from ployz.plan.settle.by_facts import decide_volume
from ployz.plan.volumes import look_at, put_elsewhere, rename
from ployz.projections.local import Claim, Held
from ployz.projections.operations import Status
from ployz.projections.view import ClusterView

KEEPS_MAX: Final = 5
GRACE_MS: Final = 60_000
"""An operation that was decided less than this ago may still be tidied up after."""
RESTART: Final = "`systemctl restart ployzd` there tidies it up, and stops nothing; its log says what kept it."


@frozen
class FoundContainer:
    """A container with an operation's label."""

    name: str
    slot: SlotRef
    operation_id: OperationId
    running: bool


@frozen
class Ended:
    """Which operations are over, for good and not just now. `me`: the machine that was looked at."""

    view: ClusterView
    me: MachineId
    now_ms: int

    def why(self, operation_id: OperationId | None) -> str | None:
        """None: it goes on, or has just ended. Else the end of a sentence about what carries it."""
        if operation_id is None:
            return "is of no operation"
        status = self.view.operations.status(operation_id)
        if status is None:
            return f"is of operation {operation_id}, which no fact names"
        operation = self.view.operations.get(operation_id)  # None: archived, so decided long ago
        decided_ms = operation.decided_ms if operation is not None else 0
        if status is Status.UNDECIDED or self.now_ms - decided_ms < GRACE_MS:
            return None
        return f"is of operation {operation_id}, which was {status}"

    def is_known(self, operation_id: OperationId | None) -> bool:
        return operation_id is not None and self.view.operations.status(operation_id) is not None

    def remedy(self, operation_id: OperationId | None, by_hand: str) -> str:
        """It tidies up after what the facts name. What it does not know it leaves alone."""
        return RESTART if self.is_known(operation_id) else by_hand


# ---------------------------------------------------------------- containers


def of_containers(ended: Ended, found: Sequence[FoundContainer], *, is_removed: bool) -> Iterator[Leftover]:
    placed = [] if is_removed else [(s, p) for s, p in ended.view.placement.slots() if p.machine == ended.me]
    status_of = ended.view.operations.status
    seen = [settle.FoundContainer(each.name, each.slot, each.operation_id, each.running, False) for each in found]
    actions = settle.settle_containers(placed, seen, gate=settle.Gate(None), status_of=status_of)
    doomed = {action.container for action in actions if isinstance(action, settle.Remove)}
    for each in found:
        if each.name in doomed and (why := ended.why(each.operation_id)) is not None:
            by_hand = f"If nobody needs it: docker rm --force {each.name}"
            yield Leftover("container", each.name, why, ended.remedy(each.operation_id, by_hand))


def of_guards(ended: Ended, guarded: Iterable[str], folder: str) -> Iterator[Leftover]:
    """By the names of the containers: `NAMESPACE.SERVICE.SLOT.OPERATION`."""
    for name in sorted(guarded):
        operation_id = _operation(name.rpartition(".")[2])
        if (why := ended.why(operation_id)) is not None:
            yield Leftover("guard", name, why, f"When that container is gone: rm {folder}/{name}")


# ---------------------------------------------------------------- datasets


@frozen
class Lying:
    """A dataset where volumes lie."""

    state: DatasetState
    volume: VolumeRef | None
    """None: its name is none of a volume."""
    found: settle.FoundDataset | None
    """None: as `volume`."""
    keeps: tuple[Keep, ...] = ()
    """Of a volume that no fact names: what prevents that it is destroyed."""


def of_datasets(ended: Ended, lying: Iterable[Lying], root: str) -> Iterator[Leftover | Problem]:
    """Problems are what plan/settle says of volumes that this machine owns and does not have as the facts have them."""
    for each in lying:
        if each.volume is None or each.found is None:
            yield _stranger(ended, each.state.name, root)
        else:
            yield from _of_volume(ended, each, each.volume, each.found)


def missing(view: ClusterView, me: MachineId, there: Iterable[VolumeRef]) -> Iterator[Problem]:
    """Volumes that this machine owns, of which nothing is there."""
    for volume in sorted({each.volume for each in view.placement.volumes_on(me)} - set(there)):
        for action in decide_volume(view, me, volume, None):
            if isinstance(action, settle.Missing):
                yield action.problem


def _of_volume(
    ended: Ended, lying: Lying, volume: VolumeRef, found: settle.FoundDataset
) -> Iterator[Leftover | Problem]:
    name = lying.state.name
    going = False
    for action in decide_volume(ended.view, ended.me, volume, found):
        match action:
            case settle.Missing(problem):
                yield problem
            case settle.DiscardPartial() if (why := ended.why(found.touched_by)) is not None:
                going = True
                yield Leftover("dataset", name, f"{why}, and holds what it never committed", RESTART)
            case settle.AbortReceive() if (why := ended.why(found.touched_by)) is not None:
                yield Leftover("dataset", name, f"{why}, and holds the beginning of a stream", RESTART)
            case _:
                pass
    owned = ended.view.placement.volumes.get(volume)
    if not going and owned is None and found.epoch == 0 and not ended.is_known(found.touched_by):
        why = "stands where a volume would, and neither a fact nor this machine's log says what it is"
        yield Leftover("dataset", name, why, look_at(volume))
        return
    if not going and owned is None and found.epoch > 0:
        yield _removed(lying, volume)
        return
    base = ended.view.placement.base(volume)
    yield from _of_snapshots(ended, lying.state, base.snapshot if base else None)


def _removed(lying: Lying, volume: VolumeRef) -> Leftover:
    """By `volume rm`, while something kept it or its machine was away; or it is of a cluster that is no more."""
    name = lying.state.name
    kept = lying.keeps[:KEEPS_MAX]
    why = "".join(f"; {each.why(name)}" for each in kept)
    commands = "; ".join([*(each.remedy(name) for each in kept), f"zfs destroy -r {name}"])
    return Leftover(
        "dataset",
        name,
        f"has data of volume {volume}, which was removed, or which no fact has ever named{why}",
        f"To keep it: {rename(name)}. If it was removed on purpose, with `ployzctl volume rm`: {commands}",
    )


def _of_snapshots(ended: Ended, state: DatasetState, base: str | None) -> Iterator[Leftover]:
    for snapshot in state.snapshots:
        operation_id = names.operation_of_snapshot(snapshot.name)
        if operation_id is None or snapshot.name == base or (why := ended.why(operation_id)) is None:
            continue
        full = f"{state.name}@{snapshot.name}"
        if snapshot.holds:
            release = f"zfs release {names.HOLD_TAG} {full}"
            yield Leftover("hold", full, why, ended.remedy(operation_id, f"If nobody needs it: {release}"))
        yield Leftover("snapshot", full, why, ended.remedy(operation_id, f"If nobody needs it: zfs destroy {full}"))


def _stranger(ended: Ended, name: str, root: str) -> Leftover:
    """Its data may exist nowhere else: nobody is told to destroy it."""
    if (above := names.volume_above(root, name)) is None:
        return Leftover(
            "dataset", name, "has a name that no volume has", f"Look what it is. To keep it: {rename(name)}"
        )
    owned = ended.view.placement.volumes.get(above)
    its = f"volume {above}" if owned is not None and owned.owner == ended.me else f"a copy of volume {above}"
    return Leftover(
        "dataset", name, f"lies below {its}: it moves with nothing, and keeps that from moving", put_elsewhere(name)
    )


# ---------------------------------------------------------------- what keeps others away


def of_doors(ended: Ended, there: Iterable[str], claims: Iterable[Claim]) -> Iterator[Leftover]:
    """`there`: addresses. `claims`: all that this machine's log knows of."""
    by_address: dict[str, list[OperationId]] = {}
    for claim in claims:
        for address in (claim.ipv6, claim.ipv4):
            by_address.setdefault(address, []).append(claim.operation_id)
    for address in sorted(there):
        whys = [ended.why(each) for each in by_address.get(address, ())] or ["is of no operation"]
        if (why := whys[-1]) is not None and all(whys):
            yield Leftover("door", address, f"is kept from everybody: the door before it {why}", RESTART)


def of_gates(ended: Ended, fences: Mapping[ServiceRef, OperationId]) -> Iterator[Leftover]:
    for service, operation_id in sorted(fences.items()):
        if (why := ended.why(operation_id)) is not None:
            yield Leftover("gate", str(service), f"may not start: the gate that is closed for it {why}", RESTART)


def of_routes(ended: Ended, holds: Mapping[ServiceRef, Held]) -> Iterator[Leftover]:
    """The gateway itself lets go at the deadline of a hold."""
    for service, held in sorted(holds.items()):
        if held.until_ms > ended.now_ms and (why := ended.why(held.operation_id)) is not None:
            yield Leftover("route", str(service), f"lets requests wait: the hold {why}", RESTART)


def _operation(text: str) -> OperationId | None:
    try:
        return OperationId(text)
    except InvalidName:
        return None
