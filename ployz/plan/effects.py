"""What a plan does, phase by phase, as values: preview prints them, and the coordinator performs the same ones.

Phases run in order; the effects of one phase run side by side. Everything before COMMIT can be undone, and is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from attrs import frozen

from ployz.ids import MachineId, ServiceRef, SlotRef, VolumeRef
from ployz.manifest.quantities import size_text
from ployz.plan import committed
from ployz.plan.hooks import HookCall, Moment, hook_calls
from ployz.plan.model import Change, HoldPlan, ImageOrigin, ImagePlan, Plan, SecretPlan, SlotPlan, VolumePlan


class Phase(StrEnum):
    LOCK = "lock"
    PREPARE = "prepare"
    PRECOPY = "pre-copy"
    HOLD = "hold"
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
class ShareSecret:
    plan: SecretPlan

    def __str__(self) -> str:
        return f"{self.plan.holders[0]}: encrypt secret {self.plan.secret} for {self.plan.machine}"


@frozen
class CreateVolume:
    volume: VolumePlan

    def __str__(self) -> str:
        return f"{self.volume.machine}: create volume {self.volume.volume}"


@frozen
class CreateContainer:
    slot: SlotPlan
    ref: SlotRef

    def __str__(self) -> str:
        if self.slot.ended is not None:
            how = f"which has ended ({self.slot.ended}) and is not started again"
            return f"{self.slot.machine}: create the container of {self.ref}, {how}"
        return f"{self.slot.machine}: create the container of {self.ref}, not started"


@frozen
class CopyVolume:
    """Warm rounds, while the service runs."""

    volume: VolumePlan
    source: MachineId

    def __str__(self) -> str:
        how = f"changes since {self.volume.base}" if self.volume.base else "all of it"
        bandwidth = self.volume.bandwidth_bytes_s
        limited = "" if bandwidth is None else f", at most {size_text(bandwidth)} a second"
        way = f"{self.source} -> {self.volume.machine}: send {self.volume.volume}"
        return f"{way}, {how}, then rounds while they pay{limited}"


@frozen
class Quiesce:
    """What those that leave one machine are told around each snapshot, the last one, before the stop, included."""

    source: MachineId
    before: tuple[HookCall, ...]
    after: tuple[HookCall, ...]

    def calls(self, moment: Moment) -> tuple[HookCall, ...]:
        return self.before if moment is Moment.BEFORE else self.after

    def __str__(self) -> str:
        told = [
            f"{when} each snapshot run `{' '.join(call.command)}` in {call.slot}"
            for when, calls in (("before", self.before), ("after", self.after))
            for call in calls
        ]
        return f"{self.source}: {', '.join(told)}"


@frozen
class HoldTraffic:
    hold: HoldPlan

    def __str__(self) -> str:
        hold = self.hold
        running = f"running HTTP requests get {hold.grace_ms / 1000:g} s"
        if hold.slots:
            return f"{hold.gateway}: send nothing new to {', '.join(hold.slots)} of {hold.service}, {running}"
        return f"{hold.gateway}: hold new requests to {hold.service} for at most {hold.hold_ms / 1000:g} s, {running}"


@frozen
class Depart:
    """Everything that leaves one machine: fenced, stopped, snapshotted and voted for together."""

    source: MachineId
    slots: tuple[SlotRef, ...]
    volumes: tuple[VolumeRef, ...]

    def __str__(self) -> str:
        steps = []
        if self.slots:
            steps.append(f"fence and stop {', '.join(map(str, self.slots))}")
        if self.volumes:
            steps.append(f"final snapshot of {', '.join(map(str, self.volumes))} at one instant")
        return f"{self.source}: {', '.join(steps)}"


@frozen
class FinishCopy:
    volume: VolumePlan
    source: MachineId

    def __str__(self) -> str:
        compared = "guids and the digests of every file" if self.volume.verify else "guids"
        return (
            f"{self.source} -> {self.volume.machine}: send the last changes of {self.volume.volume}, compare {compared}"
        )


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


@frozen
class SetQuota:
    """After the commit, as part of agreeing with it: an abort leaves the old one."""

    volume: VolumePlan

    def __str__(self) -> str:
        quota = f"{self.volume.quota_bytes >> 20} MiB" if self.volume.quota_bytes else "none"
        return f"{self.volume.machine}: set the quota of {self.volume.volume} to {quota}"


@frozen
class SetProperties:
    """After the commit, too."""

    volume: VolumePlan

    def __str__(self) -> str:
        return f"{self.volume.machine}: set {', '.join(map(str, self.volume.settings))} on {self.volume.volume}"


Cleaning = RemoveContainer | KeepBase | SetQuota | SetProperties

Effect = (
    ShareSecret
    | EnsureImage
    | CreateVolume
    | CreateContainer
    | CopyVolume
    | Quiesce
    | HoldTraffic
    | Depart
    | FinishCopy
    | StartContainer
    | RemoveContainer
    | KeepBase
    | SetQuota
    | SetProperties
)


_LOCK_WORDS: Final = "lock the namespace, probe every participant, and plan again: a changed plan is refused"
_COMMIT_WORDS: Final = "one fact makes it so; whatever fails before it is undone"
_FOLLOW_WORDS: Final = "addresses and routes of every machine follow the fact"


@frozen
class Phases:
    """The effects of each phase, in the order in which the coordinator performs them."""

    secrets: tuple[ShareSecret, ...]
    images: tuple[EnsureImage, ...]
    volumes: tuple[CreateVolume, ...]
    containers: tuple[CreateContainer, ...]
    copies: tuple[CopyVolume, ...]
    in_place: tuple[StartContainer, ...]
    """New and replaced slots: they start before anything is stopped for a move."""
    in_place_holds: tuple[HoldTraffic, ...]
    """Of replaced slots: each from before it is stopped until it is ready."""
    quiescing: tuple[Quiesce, ...]
    """Where services with hooks leave."""
    holds: tuple[HoldTraffic, ...]
    departures: tuple[Depart, ...]
    """One a machine, in order of their names."""
    last_copies: tuple[FinishCopy, ...]
    arrivals: tuple[StartContainer, ...]
    """Slots that move, and new or replaced ones that mount a volume that does."""
    cleaning: tuple[Cleaning, ...]

    def holds_of(self, start: StartContainer) -> tuple[HoldTraffic, ...]:
        """While this slot is replaced where it is."""
        return tuple(
            each
            for each in self.in_place_holds
            if (each.hold.service, each.hold.replaced) == (start.ref.service, start.ref.slot)
        )

    def in_words(self) -> Iterator[tuple[Phase, list[str]]]:
        """What an operator reads. A phase in which nothing happens is left out."""
        changes = (*self.images, *self.volumes, *self.containers, *self.copies, *self.departures, *self.cleaning)
        if not changes:
            return
        for phase, effects in (
            (Phase.LOCK, (_LOCK_WORDS,)),
            (Phase.PREPARE, (*self.secrets, *self.images, *self.volumes, *self.containers)),
            (Phase.PRECOPY, (*self.quiescing, *self.copies)),
            (Phase.START, [effect for start in self.in_place for effect in (*self.holds_of(start), start)]),
            (Phase.HOLD, self.holds),
            (Phase.CUT, (*self.departures, *self.last_copies, *self.arrivals)),
            (Phase.COMMIT, (_COMMIT_WORDS,)),
            (Phase.FOLLOW, (_FOLLOW_WORDS,)),
            (Phase.CLEAN, self.cleaning),
        ):
            if effects:
                yield phase, [str(effect) for effect in effects]


def phases(plan: Plan) -> Phases:
    moved = plan.moved_volumes
    changed = [slot for slot in plan.slots if slot.change not in (Change.UNCHANGED, Change.REMOVE)]
    run = [slot for slot in changed if slot.ended is None]
    starts = [(_arrives(slot, moved), StartContainer(slot, _ref(plan, slot))) for slot in run]
    return Phases(
        secrets=tuple(ShareSecret(each) for each in plan.secrets),
        images=tuple(_images(changed)),
        volumes=tuple(CreateVolume(each) for each in plan.volumes if each.change is Change.CREATE),
        containers=tuple(CreateContainer(slot, _ref(plan, slot)) for slot in changed),
        copies=tuple(CopyVolume(volume, _source(volume)) for volume in moved),
        in_place=tuple(start for arrives, start in starts if not arrives),
        quiescing=tuple(_quiescing(plan)),
        in_place_holds=tuple(HoldTraffic(each) for each in plan.holds if each.replaced is not None),
        holds=tuple(HoldTraffic(each) for each in plan.holds if each.replaced is None),
        departures=tuple(_departures(plan)),
        last_copies=tuple(FinishCopy(volume, _source(volume)) for volume in moved),
        arrivals=tuple(start for arrives, start in starts if arrives),
        cleaning=tuple(_cleaning(plan)),
    )


def _arrives(slot: SlotPlan, moved: Sequence[VolumePlan]) -> bool:
    """It starts in the cut-over: it moves, or waits where it is (new or replaced) for a volume that does."""
    return slot.change is Change.MOVE or _mounts(slot, moved)


def _departs(slot: SlotPlan, moved: Sequence[VolumePlan]) -> bool:
    """It is stopped in the cut-over: it moves, or it ends with this deploy and has a volume that moves."""
    return slot.change is Change.MOVE or (slot.change is Change.REMOVE and _mounts(slot, moved))


def _mounts(slot: SlotPlan, volumes: Sequence[VolumePlan]) -> bool:
    return any(each.volume in slot.volumes for each in volumes)


def _images(slots: Iterable[SlotPlan]) -> Iterator[EnsureImage]:
    seen = set()
    for slot in slots:
        if slot.image is not None and (slot.machine, slot.image) not in seen:
            seen.add((slot.machine, slot.image))
            yield EnsureImage(slot.machine, slot.image)


def _departures(plan: Plan) -> Iterator[Depart]:
    moved = plan.moved_volumes
    slots: dict[MachineId, list[SlotRef]] = {}
    for slot in plan.slots:
        if slot.source is not None and _departs(slot, moved):
            slots.setdefault(slot.source, []).append(_ref(plan, slot))
    volumes: dict[MachineId, list[VolumeRef]] = {}
    for volume in moved:
        volumes.setdefault(_source(volume), []).append(volume.volume)
    for source in sorted(slots.keys() | volumes.keys()):
        yield Depart(source, tuple(slots.get(source, ())), tuple(volumes.get(source, ())))


def _quiescing(plan: Plan) -> Iterator[Quiesce]:
    manifest = committed.from_fact(plan.manifest)
    for departure in _departures(plan):
        before, after = (hook_calls(manifest, departure.slots, moment) for moment in (Moment.BEFORE, Moment.AFTER))
        if departure.volumes and (before or after):
            yield Quiesce(departure.source, before, after)


def _cleaning(plan: Plan) -> Iterator[Cleaning]:
    for slot in plan.slots:
        if slot.source is not None and slot.change is not Change.UNCHANGED:
            yield RemoveContainer(slot.source, _ref(plan, slot))
    for volume in plan.moved_volumes:
        yield KeepBase(_source(volume), volume.volume)
    for volume in plan.volumes:
        if volume.change is Change.REPLACE and volume.requota:
            yield SetQuota(volume)
        if volume.change is Change.REPLACE and volume.settings:
            yield SetProperties(volume)


def _ref(plan: Plan, slot: SlotPlan) -> SlotRef:
    return SlotRef(ServiceRef(plan.namespace, slot.service), slot.slot)


def _source(volume: VolumePlan) -> MachineId:
    if volume.previous is None:
        raise AssertionError(f"{volume.volume} moves and has no owner")
    return volume.previous.owner
