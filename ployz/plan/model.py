"""The plan of an operation as a value: what happens to every slot and volume of a namespace.

Preview prints it, apply performs it, and a plan made again under the lock is compared with the one made before.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from ployz.errors import Problem
from ployz.events.types import OperationKind, SlotPlacement, VolumePlacement
from ployz.ids import MachineId, Namespace, SecretName, SecretRef, ServiceName, ServiceRef, SlotName, VolumeRef
from ployz.plan.precopy import Expected
from ployz.plan.properties import Setting
from ployz.plan.uncovered import Uncovered


class Change(StrEnum):
    CREATE = "create"
    REPLACE = "replace"
    MOVE = "move"
    REMOVE = "remove"
    UNCHANGED = "unchanged"


class ImageOrigin(StrEnum):
    PRESENT = "present"
    COPIED = "copied"
    PULLED = "pulled"


@frozen
class ImagePlan:
    """How a machine comes by an image."""

    reference: str
    image_id: str
    """Empty until it was pulled."""
    origin: ImageOrigin
    copied_from: MachineId | None
    size_bytes: int
    """0: not known before it is pulled."""


@frozen
class SecretVersion:
    secret: SecretName
    version: int


@frozen
class SlotPlan:
    change: Change
    service: ServiceName
    slot: SlotName
    machine: MachineId
    """Where it will be; of a removed slot, where it is."""
    ipv6: str
    ipv4: str
    template_hash: str
    image: ImagePlan | None
    """None for a slot that needs no new container."""
    previous: SlotPlacement | None
    volumes: tuple[VolumeRef, ...] = ()
    """What its container mounts; of a removed slot, what the old one does."""
    stranded: bool = False
    """The machine of `previous` is no member any more, or does not answer: nothing can be stopped there, and only the
    address is kept."""
    secrets: tuple[SecretVersion, ...] = ()
    """What its container is given, as it is set now."""
    uncovered: tuple[Uncovered, ...] = ()
    """Of a new container: what it will write that goes with it."""
    ended: int | None = None
    """Of a slot that moves: its program has ended with this, for good, and its new container is not started."""

    @property
    def source(self) -> MachineId | None:
        """Where its old container is. None: it is new, or nobody can be asked there."""
        return None if self.previous is None or self.stranded else self.previous.machine


@frozen
class VolumePlan:
    change: Change
    volume: VolumeRef
    machine: MachineId
    """Who will own it."""
    previous: VolumePlacement | None
    quota_bytes: int
    """0: none."""
    mode: str
    owner: str
    # Of a move only:
    size_bytes: int = 0
    """What the volume refers to now: the size of a full send."""
    base: str | None = None
    """The newest snapshot that both sides have; None: the first send is a full one."""
    first_send_bytes: int = 0
    expected_rounds: int = 0
    target_free_bytes: int = 0
    replaces_stale_copy: bool = False
    """The target has a copy of an older epoch without a shared snapshot: it is destroyed for the first receive."""

    verify: bool = False
    """The digests of every file are compared, not the guids alone."""
    bandwidth_bytes_s: int | None = None
    """Of the whole operation, at each machine that sends."""
    settings: tuple[Setting, ...] = ()
    """ZFS properties that the dataset is given: of a new volume what the manifest declares, of one that moves also what
    it has where it is; of one that stays, what is not so yet."""
    left_behind: tuple[Setting, ...] = ()
    """What somebody has set on the source and does not come along."""
    requota: bool = False
    """Its quota is not as the manifest has it: of one that stays."""

    @property
    def epoch(self) -> int:
        """Under the plan."""
        if self.previous is None:
            return 1
        return self.previous.epoch + (self.change is Change.MOVE)


@frozen
class SecretPlan:
    """A machine is about to need a secret that is not encrypted for its key."""

    secret: SecretRef
    machine: MachineId
    holders: tuple[MachineId, ...]
    """Who can do that, in the order in which they are asked."""


@frozen
class HoldPlan:
    """New requests to a service wait at one gateway, from before it stops until it is back: in a cut-over that is when
    the operation is decided.
    """

    gateway: MachineId
    service: ServiceRef
    slots: tuple[SlotName, ...]
    """Those that stop while others of the service go on: they get nothing new, and nothing waits. Empty: all."""
    hold_ms: int
    """What waits longer is refused."""
    grace_ms: int
    """How long running HTTP requests may take to be answered before the service is stopped."""
    replaced: SlotName | None = None
    """The slot that is replaced where it is, while which nothing else of the operation is held. None: a cut-over's."""


@frozen
class Waiting:
    """What a deploy cannot do on a machine that does not answer. The rest is done; the same deploy does it later."""

    service: ServiceName
    slot: SlotName
    machine: MachineId
    change: Change
    """What would happen. Of a removed slot: that its container is there until the machine is back."""

    def __str__(self) -> str:
        what = {
            Change.CREATE: "is not made",
            Change.REPLACE: "stays as it is",
            Change.MOVE: "stays where it is",
            Change.REMOVE: "is no slot any more; its container goes when the machine is back",
        }
        return f"{self.service}/{self.slot} on {self.machine} {what[self.change]}"


@frozen
class Plan:
    kind: OperationKind
    namespace: Namespace
    coordinator: MachineId
    manifest: str
    """Canonical JSON, without intent."""
    slots: tuple[SlotPlan, ...]
    volumes: tuple[VolumePlan, ...]
    blockers: tuple[Problem, ...]
    """Everything that stands in the way, all at once. A plan with blockers is not applied."""
    predicted_cutover_ms: int = 0
    """0: no running service is stopped."""
    predicted_bytes: int = 0
    """Of the last round, all volumes together."""
    expected: Expected | None = None
    """What that goes by. None: no running service is stopped."""
    holds: tuple[HoldPlan, ...] = ()
    secrets: tuple[SecretPlan, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    max_cutover_s: float | None = None
    """What its cut-over may be expected to take when it is about to begin. None: what `plan/patience` says."""

    @property
    def participants(self) -> tuple[MachineId, ...]:
        """Every machine on which something changes, and the sources of what moves."""
        found = {self.coordinator}
        for slot in self.slots:
            if slot.change not in (Change.UNCHANGED, Change.REMOVE):
                found.add(slot.machine)
            if slot.change is not Change.UNCHANGED and slot.source is not None:
                found.add(slot.source)
        for volume in self.volumes:
            if volume.change is not Change.UNCHANGED:
                found.add(volume.machine)
                if volume.previous:
                    found.add(volume.previous.owner)
        return tuple(sorted(found))

    @property
    def moved_volumes(self) -> tuple[VolumePlan, ...]:
        return tuple(volume for volume in self.volumes if volume.change is Change.MOVE)

    @property
    def changes_nothing(self) -> bool:
        slots = all(slot.change is Change.UNCHANGED for slot in self.slots)
        return slots and all(volume.change is Change.UNCHANGED for volume in self.volumes)


def differences(before: Plan, after: Plan) -> list[str]:
    """What is not the same in a plan that was made again: sentences, empty when it may be applied.

    Sizes, free space and predictions differ between two looks at a running service, and change no decision.
    """
    then, now = _decisions(before), _decisions(after)
    found = [
        f"{subject}: {then.get(subject, 'nothing')} became {now.get(subject, 'nothing')}"
        for subject in sorted(then.keys() | now.keys())
        if then.get(subject) != now.get(subject)
    ]
    if before.manifest != after.manifest:
        found.append("the manifest of the namespace was changed by another deploy")
    return found


def _decisions(plan: Plan) -> dict[str, str]:
    parts: list[SlotPlan | VolumePlan] = [*plan.slots, *plan.volumes]
    return {_subject(each): _decision(each) for each in parts}


def _subject(each: SlotPlan | VolumePlan) -> str:
    return f"volume {each.volume}" if isinstance(each, VolumePlan) else f"{each.service}/{each.slot}"


def _decision(each: SlotPlan | VolumePlan) -> str:
    if isinstance(each, VolumePlan):
        stale = ", in place of a stale copy" if each.replaces_stale_copy else ""
        return f"{each.change} on {each.machine} at epoch {each.epoch}{stale}"
    source = f" from {each.source}" if each.change is Change.MOVE else ""
    return f"{each.change} on {each.machine}{source} at {each.ipv4}, template {each.template_hash[:12]}"
