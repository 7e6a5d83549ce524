"""What a plan does, phase by phase, as values: preview prints them, and the coordinator performs the same ones.

Phases run in order; the effects of one phase run side by side. Everything before COMMIT can be undone, and is.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from attrs import frozen

from ployz.ids import MachineId, ServiceRef, SlotRef, VolumeRef
from ployz.plan.model import Change, ImageOrigin, ImagePlan, Plan, SlotPlan, VolumePlan


class Phase(StrEnum):
    LOCK = "lock"
    PREPARE = "prepare"
    PRECOPY = "pre-copy"
    CUT = "cut-over"
    START = "start"
    COMMIT = "commit"
    FOLLOW = "follow"
    CLEAN = "clean-up"


@frozen
class EnsureImage:
    machine: MachineId
    image: ImagePlan

    def __str__(self) -> str:
        match self.image.origin:
            case ImageOrigin.PRESENT:
                return f"{self.machine}: image {self.image.reference} is present"
            case ImageOrigin.COPIED:
                size = f" ({self.image.size_bytes >> 20} MiB)" if self.image.size_bytes else ""
                return f"{self.machine}: copy image {self.image.reference}{size} from {self.image.copied_from}"
            case ImageOrigin.PULLED:
                return f"{self.machine}: pull image {self.image.reference}"


@frozen
class EnsureVolume:
    volume: VolumePlan

    def __str__(self) -> str:
        if self.volume.change is Change.CREATE:
            return f"{self.volume.machine}: create volume {self.volume.volume}"
        return f"{self.volume.machine}: set the quota of {self.volume.volume}"


@frozen
class CreateContainer:
    slot: SlotPlan
    ref: SlotRef

    def __str__(self) -> str:
        return f"{self.slot.machine}: create the container of {self.ref}, not started"


@frozen
class CopyVolume:
    """Warm rounds, while the service runs."""

    volume: VolumePlan
    source: MachineId

    def __str__(self) -> str:
        how = f"changes since {self.volume.base}" if self.volume.base else "all of it"
        return f"{self.source} -> {self.volume.machine}: send {self.volume.volume}, {how}, then rounds while they pay"


@frozen
class Depart:
    """Everything that leaves one machine: fenced, stopped, snapshotted and voted for together."""

    source: MachineId
    slots: tuple[SlotRef, ...]
    volumes: tuple[VolumeRef, ...]

    def __str__(self) -> str:
        what = ", ".join(map(str, self.slots))
        last = f", final snapshot of {', '.join(map(str, self.volumes))} at one instant" if self.volumes else ""
        return f"{self.source}: fence and stop {what}{last}"


@frozen
class FinishCopy:
    volume: VolumePlan
    source: MachineId

    def __str__(self) -> str:
        return f"{self.source} -> {self.volume.machine}: send the last changes of {self.volume.volume}, compare guids"


@frozen
class StartContainer:
    slot: SlotPlan
    ref: SlotRef

    def __str__(self) -> str:
        first = "stop the old container, " if self.slot.change is Change.REPLACE else ""
        return (
            f"{self.slot.machine}: {first}start {self.ref} on {self.slot.ipv4} and {self.slot.ipv6}, wait until ready"
        )


@frozen
class RemoveContainer:
    machine: MachineId
    ref: SlotRef

    def __str__(self) -> str:
        return f"{self.machine}: remove the old container of {self.ref}"


@frozen
class KeepBase:
    machine: MachineId
    volume: VolumeRef

    def __str__(self) -> str:
        return f"{self.machine}: keep {self.volume} read-only, as the base of an incremental way back"


Effect = (
    EnsureImage
    | EnsureVolume
    | CreateContainer
    | CopyVolume
    | Depart
    | FinishCopy
    | StartContainer
    | RemoveContainer
    | KeepBase
)


@frozen
class Phases:
    """The effects of each phase, in the order in which the coordinator performs them."""

    images: tuple[EnsureImage, ...]
    volumes: tuple[EnsureVolume, ...]
    containers: tuple[CreateContainer, ...]
    copies: tuple[CopyVolume, ...]
    in_place: tuple[StartContainer, ...]
    """New and replaced slots: they start before anything is stopped for a move."""
    departures: tuple[Depart, ...]
    last_copies: tuple[FinishCopy, ...]
    arrivals: tuple[StartContainer, ...]
    cleaning: tuple[RemoveContainer | KeepBase, ...]

    def in_words(self) -> Iterator[tuple[Phase, list[str]]]:
        """What an operator reads. A phase in which nothing happens is left out."""
        for phase, effects in (
            (Phase.PREPARE, (*self.images, *self.volumes, *self.containers)),
            (Phase.PRECOPY, self.copies),
            (Phase.START, self.in_place),
            (Phase.CUT, (*self.departures, *self.last_copies, *self.arrivals)),
            (Phase.CLEAN, self.cleaning),
        ):
            if effects:
                yield phase, [str(effect) for effect in effects]


def phases(plan: Plan) -> Phases:
    changed = [slot for slot in plan.slots if slot.change not in (Change.UNCHANGED, Change.REMOVE)]
    moved = [slot for slot in changed if slot.change is Change.MOVE]
    return Phases(
        images=tuple(_images(changed)),
        volumes=tuple(EnsureVolume(each) for each in plan.volumes if each.change in (Change.CREATE, Change.REPLACE)),
        containers=tuple(CreateContainer(slot, _ref(plan, slot)) for slot in changed),
        copies=tuple(CopyVolume(volume, _source(volume)) for volume in plan.moved_volumes),
        in_place=tuple(StartContainer(slot, _ref(plan, slot)) for slot in changed if slot.change is not Change.MOVE),
        departures=tuple(_departures(plan, moved)),
        last_copies=tuple(FinishCopy(volume, _source(volume)) for volume in plan.moved_volumes),
        arrivals=tuple(StartContainer(slot, _ref(plan, slot)) for slot in moved),
        cleaning=tuple(_cleaning(plan)),
    )


def _images(slots: list[SlotPlan]) -> Iterator[EnsureImage]:
    seen = set()
    for slot in slots:
        if slot.image is not None and (slot.machine, slot.image) not in seen:
            seen.add((slot.machine, slot.image))
            yield EnsureImage(slot.machine, slot.image)


def _departures(plan: Plan, moved: list[SlotPlan]) -> Iterator[Depart]:
    sources = {slot.previous.machine for slot in moved if slot.previous}
    sources |= {_source(volume) for volume in plan.moved_volumes}
    for source in sorted(sources):
        yield Depart(
            source=source,
            slots=tuple(_ref(plan, slot) for slot in moved if slot.previous and slot.previous.machine == source),
            volumes=tuple(each.volume for each in plan.moved_volumes if _source(each) == source),
        )


def _cleaning(plan: Plan) -> Iterator[RemoveContainer | KeepBase]:
    for slot in plan.slots:
        if slot.previous is not None and slot.change is not Change.UNCHANGED:
            yield RemoveContainer(slot.previous.machine, _ref(plan, slot))
    for volume in plan.moved_volumes:
        yield KeepBase(_source(volume), volume.volume)


def _ref(plan: Plan, slot: SlotPlan) -> SlotRef:
    return SlotRef(ServiceRef(plan.namespace, slot.service), slot.slot)


def _source(volume: VolumePlan) -> MachineId:
    if volume.previous is None:
        raise AssertionError(f"{volume.volume} moves and has no owner")
    return volume.previous.owner
