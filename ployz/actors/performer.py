"""Performs the effects of a plan up to its commit, phase by phase, by asking the machines that they belong to.

What preview printed is what is performed here: the values of plan/effects. Nothing here decides or undoes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import anyio
from attrs import define, field

from ployz.actors.holding import await_released, hold_traffic, let_go
from ployz.actors.measuring import Measuring, ms_since
from ployz.actors.messages.images import EnsureImage as EnsureImageMessage
from ployz.actors.messages.storage import CreateVolume as CreateVolumeMessage
from ployz.actors.messages.workload import (
    Candidate,
    CastVote,
    CreateCandidate,
    Fence,
    KeepImages,
    RecheckCandidate,
    StartCandidate,
)
from ployz.actors.quiescing import Quiescing
from ployz.actors.sharing import share
from ployz.actors.together import together
from ployz.actors.transfer import Transfer
from ployz.actors.work import Work
from ployz.config import ASK_TIMEOUT_S, EFFECT_TIMEOUT_S, TRANSFER_TIMEOUT_S
from ployz.events.types import RoundEvidence, SlotPlacement, SnapshotTaken
from ployz.ids import MachineId, SlotRef
from ployz.manifest import template_hash
from ployz.plan.container import service_of
from ployz.plan.effects import (
    CreateContainer,
    CreateVolume,
    Depart,
    EnsureImage,
    Phase,
    Phases,
    StartContainer,
    phases,
)
from ployz.plan.model import HoldPlan, ImagePlan, SlotPlan
from ployz.plan.readiness import longest_s

START_MARGIN_S: Final = 60.0
"""On top of what stopping an old container and waiting for readiness may take."""


@define
class Performer:
    work: Work
    steps: Phases = field(init=False)
    transfers: list[Transfer] = field(init=False)
    measuring: Measuring = field(init=False)
    final: list[SnapshotTaken] = field(factory=list, init=False)
    """The last snapshot of each moved volume."""
    _held: list[HoldPlan] = field(factory=list, init=False)
    _images: dict[tuple[MachineId, ImagePlan], str] = field(factory=dict, init=False)
    """The id of each image, as it was found or loaded there."""

    def __attrs_post_init__(self) -> None:
        self.steps = phases(self.work.plan)
        self.transfers = [self._transfer(departure) for departure in self.steps.departures]
        leaving = {slot.service for each in self.steps.departures for slot in each.slots}
        self.measuring = Measuring(self.work.plan, tuple(sorted(leaving)))

    # ------------------------------------------------------------ phases

    async def prepare(self) -> None:
        """Everything that can be there before anything stops."""
        self.work.story.enter(
            Phase.PREPARE,
            "secrets, images, volumes and containers" if self.steps.secrets else "images, volumes and containers",
        )
        await together(*(partial(share, self.work.home, each.plan) for each in self.steps.secrets))
        await together(*(partial(self._ensure_image, each) for each in self.steps.images))
        await together(*(partial(self._create_volume, each) for each in self.steps.volumes))
        await together(*(partial(self._create, each) for each in self.steps.containers))
        await together(*(partial(self._keep_images, *each) for each in sorted(self._stopping().items())))

    def _stopping(self) -> dict[MachineId, tuple[SlotRef, ...]]:
        """By machine, the slots of which the containers stop before it is decided: an undo starts them again."""
        stopping: dict[MachineId, tuple[SlotRef, ...]] = {each.source: each.slots for each in self.steps.departures}
        for each in self.steps.in_place:
            stopping[each.slot.machine] = (*stopping.get(each.slot.machine, ()), each.ref)
        return {machine: slots for machine, slots in stopping.items() if slots}

    async def look_again(self) -> None:
        """What the cut-over goes by was made a while ago, and others may have pruned since."""
        await together(*(partial(self._recheck, each) for each in self.steps.arrivals))

    async def precopy(self) -> None:
        if self.work.plan.moved_volumes:
            moved = ", ".join(str(each.volume) for each in self.work.plan.moved_volumes)
            self.work.story.enter(Phase.PRECOPY, f"send {moved} while it is in use")
        await together(*(each.warm for each in self.transfers))
        if self.steps.departures:
            self.measuring.predict(each.rounds for each in self.transfers)
            self.measuring.tell(self.work.story)
            self.measuring.require_patience()

    async def start_in_place(self) -> None:
        """One slot after the other: the others of its service go on serving, and what has no other waits."""
        if self.steps.in_place:
            self.work.story.enter(Phase.START, f"start {', '.join(str(each.ref) for each in self.steps.in_place)}")
        for each in self.steps.in_place:
            held = await hold_traffic(self.work, self.steps.holds_of(each))
            await self._start(each)
            await let_go(self.work, held)

    async def open_last_round(self) -> None:
        await together(*(each.open_last for each in self.transfers))

    async def quiesce(self) -> None:
        """The services still run, and go on doing so if a hook fails."""
        if self.steps.quiescing:
            self.work.story.tell("run what its services want to be run before they stop")
        await together(*(partial(each.quiescing.before_stop, each.last_round) for each in self.transfers))

    async def take_back(self) -> None:
        """What was not stopped is told that it goes on."""
        await together(*(partial(each.quiescing.take_back, each.last_round) for each in self.transfers))

    async def hold(self) -> None:
        """What comes by the gateways waits from here until the operation is decided."""
        if self.steps.holds:
            self.work.story.enter(Phase.HOLD, "gateways hold new requests, and let running ones finish")
            self.measuring.hold()
        self._held = await hold_traffic(self.work, self.steps.holds)

    async def cut_over(self) -> None:
        """The services that move are down from here until the commit."""
        if not self.steps.departures:
            return
        leaving = ", ".join(str(slot) for each in self.steps.departures for slot in each.slots)
        self.work.story.enter(Phase.CUT, f"stop {leaving}, send what is left, start it at its new place")
        self.measuring.begin()
        departures = zip(self.steps.departures, self.transfers, strict=True)
        await together(*(partial(self._depart, each, transfer) for each, transfer in departures))
        targets = sorted({each.machine for each in self.work.plan.moved_volumes})
        await together(
            *(partial(self._vote, target) for target in targets),
            *(partial(self._start, each) for each in self.steps.arrivals),
        )

    async def released(self) -> None:
        """After the commit: until what waited goes on."""
        if self._held:
            await await_released(self.work, self._held, self.measuring.released)

    # ------------------------------------------------------------ single effects

    async def _ensure_image(self, effect: EnsureImage) -> None:
        image = effect.image
        message = EnsureImageMessage(
            self.work.operation_id, self.work.position, image.reference, image.image_id, image.copied_from
        )
        reply = await self.work.home.remote(effect.machine, "images").ask(message, timeout_s=TRANSFER_TIMEOUT_S)
        self._images[effect.machine, image] = reply.image_id

    async def _create_volume(self, effect: CreateVolume) -> None:
        volume = effect.volume
        message = CreateVolumeMessage(
            operation_id=self.work.operation_id,
            position=self.work.position,
            volume=volume.volume,
            quota_bytes=volume.quota_bytes,
            mode=volume.mode,
            owner=volume.owner,
            settings=volume.settings,
        )
        ref = self.work.home.remote(volume.machine, f"volume/{volume.volume}")
        await ref.ask(message, timeout_s=EFFECT_TIMEOUT_S)

    async def _create(self, effect: CreateContainer) -> None:
        message = CreateCandidate(
            self.work.operation_id, self.work.position, self.work.plan.manifest, self._candidate(effect.slot)
        )
        await self.work.workload(effect.slot.machine).ask(message, timeout_s=EFFECT_TIMEOUT_S)

    async def _recheck(self, effect: StartContainer) -> None:
        message = RecheckCandidate(
            self.work.operation_id, self.work.position, self.work.plan.manifest, self._candidate(effect.slot)
        )
        await self.work.workload(effect.slot.machine).ask(message, timeout_s=EFFECT_TIMEOUT_S)

    async def _keep_images(self, machine: MachineId, slots: tuple[SlotRef, ...]) -> None:
        message = KeepImages(self.work.operation_id, self.work.position, slots)
        await self.work.workload(machine).ask(message, timeout_s=EFFECT_TIMEOUT_S)

    async def _start(self, effect: StartContainer) -> None:
        slot = effect.slot
        service = service_of(self.work.manifest, slot.service)
        limit_s = START_MARGIN_S + service.template.stop_grace_period_s
        limit_s += longest_s(service.readiness) if service.readiness else 0.0
        message = StartCandidate(
            self.work.operation_id, self.work.position, self.work.plan.manifest, self._candidate(slot)
        )
        ready = await self.work.workload(slot.machine).ask(message, timeout_s=limit_s)
        if effect in self.steps.arrivals:
            self.measuring.took(mount_ms=ready.mount_ms, start_ms=ready.start_ms, ready_ms=ready.ready_ms)
        self.work.story.tell(f"{effect.ref} is ready on {slot.machine}")

    async def _depart(self, effect: Depart, transfer: Transfer) -> None:
        message = Fence(self.work.operation_id, self.work.position, effect.slots, effect.volumes, transfer.last_round)
        graces_s = [service.template.stop_grace_period_s for service in self.work.manifest.services]
        transfer.quiescing.stops()
        fenced = await self.work.workload(effect.source).ask(
            message, timeout_s=EFFECT_TIMEOUT_S + max(graces_s, default=0.0)
        )
        self.work.story.tell(f"{effect.source}: stopped, and fenced until it is decided")
        self.final.extend(fenced.snapshots)
        self.measuring.took(stop_ms=fenced.stop_ms, unmount_ms=fenced.unmount_ms, snapshot_ms=fenced.snapshot_ms)
        began_s = anyio.current_time()
        sent = await transfer.send_last(fenced.snapshots)
        send_ms = max((each.duration_ms for each in sent), default=0)
        self.measuring.took(send_ms=send_ms, receive_ms=max(0, ms_since(began_s) - send_ms))
        self.measuring.last_bytes += sum(each.sent_bytes for each in sent)

    async def _vote(self, target: MachineId) -> None:
        """A machine has one vote. One that gives volumes away too votes again, for all of them."""
        concerned = {
            each.volume
            for each in self.work.plan.moved_volumes
            if target == each.machine or (each.previous is not None and target == each.previous.owner)
        }
        snapshots = tuple(each for each in self.final if each.volume in concerned)
        message = CastVote(self.work.operation_id, self.work.position, snapshots)
        await self.work.workload(target).ask(message, timeout_s=ASK_TIMEOUT_S)

    # ------------------------------------------------------------ values

    def placement(self, slot: SlotPlan) -> SlotPlacement:
        """Where the slot is when the plan is committed."""
        if slot.image is None:
            if slot.previous is None:
                raise AssertionError(f"{slot.service}/{slot.slot} is unchanged and was never there")
            return slot.previous
        image_id = self._images.get((slot.machine, slot.image), slot.image.image_id)
        return SlotPlacement(
            service=slot.service,
            slot=slot.slot,
            machine=slot.machine,
            ipv6=slot.ipv6,
            ipv4=slot.ipv4,
            image_id=image_id,
            template_hash=template_hash(
                service_of(self.work.manifest, slot.service),
                image_id,
                {each.secret: each.version for each in slot.secrets},
            ),
            operation_id=self.work.operation_id,
        )

    @property
    def evidence(self) -> Sequence[RoundEvidence]:
        return [each for transfer in self.transfers for each in transfer.evidence]

    def _candidate(self, slot: SlotPlan) -> Candidate:
        placed = self.placement(slot)
        return Candidate(
            service=placed.service,
            slot=placed.slot,
            ipv6=placed.ipv6,
            ipv4=placed.ipv4,
            image_id=placed.image_id,
            template_hash=placed.template_hash,
            ended=slot.ended,
        )

    def _transfer(self, departure: Depart) -> Transfer:
        report = self.work.reports[departure.source]
        found = {volume: report.volume(volume) for volume in departure.volumes}
        quiesce = next((each for each in self.steps.quiescing if each.source == departure.source), None)
        return Transfer(
            home=self.work.home,
            story=self.work.story,
            operation_id=self.work.operation_id,
            position=self.work.position,
            source=departure.source,
            volumes=tuple(each for each in self.work.plan.moved_volumes if each.volume in departure.volumes),
            quiescing=Quiescing(self.work, quiesce),
            bases={volume: each.snapshots for volume, each in found.items() if each is not None},
        )
