"""How every run must end: the source owns and runs, or the target does; and nothing is left of what has ended."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import fields

from tests.sim.checks.picture import ContainerSeen, DatasetSeen, MachineSeen, Picture
from tests.sim.checks.truth import Truth


def complaints(picture: Picture, truth: Truth) -> list[str]:
    """What is not yet as it must be in the end."""
    undecided = [f"{each} is undecided" for each in truth.undecided()]
    return undecided + [each for machine in picture for each in _of_machine(machine, truth)]


def differences(before: Picture, after: Picture) -> list[str]:
    """What is not as it was before everything was started once more."""
    return [
        f"{old.machine} changed: {_parts(old, new)} became {_parts(new, old)}"
        for old, new in zip(before, after, strict=True)
        if old != new
    ]


def _parts(one: MachineSeen, other: MachineSeen) -> str:
    names = [each.name for each in fields(MachineSeen)]
    return ", ".join(f"{each}={getattr(one, each)}" for each in names if getattr(one, each) != getattr(other, each))


def _of_machine(seen: MachineSeen, truth: Truth) -> Iterator[str]:
    me = seen.machine
    if seen.position != truth.position:
        yield f"{me} is at fact {seen.position} of {truth.position}"
    if seen.fences:
        yield f"{me} still has {', '.join(seen.fences)} fenced"
    if seen.leases:
        yield f"{me} still guards {', '.join(seen.leases)}"
    for which, addresses in (("closes", seen.closed), ("hides", seen.hidden)):
        if addresses:
            yield f"{me} still {which} {', '.join(sorted(addresses))}"
    yield from (f"{me} still has {each}" for each in seen.taken)
    yield from _of_slots(seen, truth)
    for dataset in seen.datasets:
        yield from _of_dataset(seen, dataset, truth)
    for volume, owner in truth.owners.items():
        if owner == me and volume not in {each.volume for each in seen.datasets}:
            yield f"{me} owns {volume}, and has no dataset of it"


def _of_slots(seen: MachineSeen, truth: Truth) -> Iterator[str]:
    me = seen.machine
    for name, slot in truth.slots.items():
        here = [each for each in seen.containers if each.slot == name]
        if slot.machine == me:
            yield from _filled(me, name, str(slot.operation_id), here)
            if not slot.addresses <= seen.local - seen.closed:
                yield f"{me} does not answer {sorted(slot.addresses)}"
        else:
            yield from (f"{me} has {each.name}, whose place is on {slot.machine}" for each in here)
            for address in slot.addresses:
                if (address, slot.machine) not in seen.sent_to or address in seen.local:
                    yield f"{me} does not send {address} to {slot.machine}"


def _filled(me: str, slot: str, operation: str, here: list[ContainerSeen]) -> Iterator[str]:
    running = [each for each in here if each.running]
    if [each.operation for each in running] != [operation]:
        yield f"{me} should run {slot} of {operation}, and runs {[each.name for each in running]}"
    yield from (f"{me} still has {each.name}" for each in here if each.operation != operation)


def _of_dataset(seen: MachineSeen, dataset: DatasetSeen, truth: Truth) -> Iterator[str]:
    me, volume = seen.machine, dataset.volume
    owner, epoch = truth.owners.get(volume), truth.epochs.get(volume)
    base = truth.moved.get(volume)
    if owner == me:
        if (dataset.epoch, dataset.mounted, dataset.readonly) != (epoch, True, False):
            yield f"{me} owns {volume} at epoch {epoch}, and has {dataset}"
    elif dataset.mounted or not dataset.readonly or not epoch or not 0 < dataset.epoch < epoch:
        yield f"{me} has a copy of {volume}, which is no base of the owner's: {dataset}"
    if dataset.partial:
        yield f"{me} still has the beginning of a stream in {volume}"
    left = [each for each in dataset.snapshots if each != base]
    if owner == me and left:
        yield f"{me} still has snapshots of {volume} that nothing needs: {', '.join(left)}"
    stale = [
        each
        for each in left
        if owner != me and any(str(op) in each for op, how in truth.ended.items() if how == "aborted")
    ]
    if stale:
        yield f"{me} still has {', '.join(stale)} of aborted operations"
