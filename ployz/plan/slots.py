"""What happens to each slot: its image, by id, and whether its container is made, replaced, moved, removed or kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

from attrs import evolve, field, frozen

from ployz.errors import Code
from ployz.events.types import SlotPlacement
from ployz.ids import MachineId, SecretName, ServiceName, ServiceRef, SlotName, SlotRef, VolumeRef
from ployz.manifest import Manifest, template_hash
from ployz.manifest.model import BindSource, Service
from ployz.plan import addresses, committed
from ployz.plan.assign import Assignment, WantedSlot
from ployz.plan.blockers import Blockers
from ployz.plan.model import Change, ImageOrigin, ImagePlan, SecretVersion, SlotPlan, Waiting
from ployz.plan.reports import Answers
from ployz.plan.secrets import versions_of
from ployz.plan.uncovered import Uncovered, uncovered
from ployz.projections.view import ClusterView


@frozen
class SlotPlanner:
    manifest: Manifest
    """With its intent."""
    assignment: Assignment
    view: ClusterView
    answers: Answers
    coordinator: MachineId
    blockers: Blockers
    _hashes: dict[tuple[ServiceName, str], str] = field(factory=dict, init=False)
    _pins: dict[ServiceName, str | None] = field(factory=dict, init=False)
    waiting: list[Waiting] = field(factory=list, init=False)
    """What is not done where no answer comes from."""

    def plan(self) -> tuple[SlotPlan, ...]:
        return (*self._wanted(), *self._removed())

    def _wanted(self) -> Iterator[SlotPlan]:
        services = {service.name: service for service in self.manifest.services}
        new = self._new_addresses()
        for wanted in self.assignment.slots:
            yield self._slot(services[wanted.service], wanted, new)

    def _new_addresses(self) -> dict[SlotRef, tuple[str, str]]:
        cluster = self.view.machines.cluster
        if cluster is None:
            raise AssertionError("a plan is made in a cluster")
        subnets = addresses.Subnets.of_cluster(cluster)
        fresh = [self._ref(each.service, each.slot) for each in self.assignment.slots if each.previous is None]
        given = addresses.new_addresses(self.view, subnets, fresh)
        if len(given) < len(fresh):
            self.blockers.add(
                Code.NO_ADDRESS,
                f"{subnets.workloads_ipv4} has {len(given)} addresses left for {len(fresh)} new slots",
                "Remove services that are not needed.",
            )
        return given

    def _slot(self, service: Service, wanted: WantedSlot, new: dict[SlotRef, tuple[str, str]]) -> SlotPlan:
        image = self._image(service, wanted)
        previous = wanted.previous
        hashed = self._kept_hash(service, wanted) or self._hash(service, image.image_id)
        stranded = previous is not None and self._is_stranded(wanted, previous)
        ref = self._ref(wanted.service, wanted.slot)
        if previous is not None and not stranded and self._waits(service, wanted, previous, hashed):
            return self._waiting(wanted, previous, service)
        if previous is None or stranded:
            change = Change.CREATE
        elif previous.machine != wanted.machine:
            change = Change.MOVE
            self._check_binds(service, previous.machine)
        else:
            # A move changes nothing but places: what is missing beside it comes back by itself.
            lost = not self.manifest.intent.moves and self.answers.is_missing(wanted.machine, ref)
            change = Change.UNCHANGED if previous.template_hash == hashed and not lost else Change.REPLACE
        bare = () if change is Change.UNCHANGED else self._uncovered(service, image, ref, previous)
        if change is not Change.UNCHANGED:
            self._check_image(service, image)
        if change in (Change.MOVE, Change.REPLACE):
            self._check_uncovered(ref, bare)
        elif previous is not None and stranded and previous.machine in self.assignment.away:
            self._check_uncovered(ref, tuple(evolve(each, written=True) for each in bare))  # nobody can say
        ipv6, ipv4 = (previous.ipv6, previous.ipv4) if previous else new.get(ref, ("", ""))
        return SlotPlan(
            change=change,
            service=wanted.service,
            slot=wanted.slot,
            machine=wanted.machine,
            ipv6=ipv6,
            ipv4=ipv4,
            template_hash=hashed,
            image=None if change is Change.UNCHANGED else image,
            previous=previous,
            volumes=self._volumes(service),
            stranded=stranded,
            secrets=tuple(SecretVersion(*each) for each in self._versions(service).items()),
            uncovered=bare,
            ended=self._ended(ref, previous) if change is Change.MOVE and _is_same(previous, hashed) else None,
        )

    def _is_stranded(self, wanted: WantedSlot, previous: SlotPlacement) -> bool:
        """Its address alone is kept: an operator says that its machine is gone, or the facts do."""
        leave = self.manifest.intent.leave
        given_up = leave is not None and leave.gone and leave.from_machine == previous.machine != wanted.machine
        return previous.machine in self.assignment.gone or (given_up and previous.machine in self.assignment.away)

    def _waits(self, service: Service, wanted: WantedSlot, previous: SlotPlacement, hashed: str) -> bool:
        """What an intent moves does not wait: without its source there is no move."""
        if previous.machine not in self.assignment.away:
            return False
        moves = wanted.machine != previous.machine
        return not (self.manifest.intent.moves and self._moves(service)) if moves else hashed != previous.template_hash

    def _waiting(self, wanted: WantedSlot, previous: SlotPlacement, service: Service) -> SlotPlan:
        change = Change.REPLACE if wanted.machine == previous.machine else Change.MOVE
        self.waiting.append(Waiting(wanted.service, wanted.slot, previous.machine, change))
        return SlotPlan(
            change=Change.UNCHANGED,
            service=wanted.service,
            slot=wanted.slot,
            machine=previous.machine,
            ipv6=previous.ipv6,
            ipv4=previous.ipv4,
            template_hash=previous.template_hash,
            image=None,
            previous=previous,
            volumes=self._volumes(service),
        )

    def _removed(self) -> Iterator[SlotPlan]:
        before = committed.of_namespace(self.view, self.manifest.namespace)
        for slot in self.assignment.removed:
            away = slot.machine in self.assignment.away
            if away:
                self.waiting.append(Waiting(slot.service, slot.slot, slot.machine, Change.REMOVE))
            service = before.service(slot.service) if before else None
            yield SlotPlan(
                change=Change.REMOVE,
                service=slot.service,
                slot=slot.slot,
                machine=slot.machine,
                ipv6=slot.ipv6,
                ipv4=slot.ipv4,
                template_hash=slot.template_hash,
                image=None,
                previous=slot,
                volumes=self._volumes(service) if service else (),
                stranded=away or slot.machine in self.assignment.gone,
            )

    # ------------------------------------------------------------ images

    def _image(self, service: Service, wanted: WantedSlot) -> ImagePlan:
        reference = service.template.image
        pinned = self._pinned(service)
        if pinned is None and service.template.pull_policy == "always":
            return ImagePlan(reference, "", ImageOrigin.PULLED, None, 0)
        image_id = pinned or self._resolved(reference)
        if image_id is not None:
            who_has = self.answers.images(image_id)
            if (here := who_has.get(wanted.machine)) is not None:
                return ImagePlan(reference, image_id, ImageOrigin.PRESENT, None, here.size_bytes)
            for machine, found in who_has.items():
                return ImagePlan(reference, image_id, ImageOrigin.COPIED, machine, found.size_bytes)
        return ImagePlan(reference, image_id or "", ImageOrigin.PULLED, None, 0)

    def _pinned(self, service: Service) -> str | None:
        """A tag is resolved once: while the manifest says the same tag, a service keeps its image, by id.

        `always` asks for a new look with each deploy, but not with a move, which changes nothing but the place.
        """
        if service.name not in self._pins:
            self._pins[service.name] = self._pin(service)
        return self._pins[service.name]

    def _pin(self, service: Service) -> str | None:
        ref = ServiceRef(self.manifest.namespace, service.name)
        before = committed.service(self.view, ref)
        if before is None or before.template.image != service.template.image:
            return None
        if service.template.pull_policy == "always" and not self._moves(service):
            return None
        # Of the container that was made last: one that a deploy could not reach may have an older image.
        slots = self.view.placement.of_service(ref)
        return max(slots, key=lambda each: each.operation_id).image_id if slots else None

    def _resolved(self, reference: str) -> str | None:
        """One id for the whole plan, even if machines disagree about the tag: the coordinator's word goes first."""
        who_has = self.answers.images(reference)
        found = who_has.get(self.coordinator) or next(iter(who_has.values()), None)
        return found.image_id if found else None

    def _hash(self, service: Service, image_id: str) -> str:
        key = service.name, image_id
        if key not in self._hashes:
            self._hashes[key] = template_hash(service, image_id, self._versions(service))
        return self._hashes[key]

    def _kept_hash(self, service: Service, wanted: WantedSlot) -> str | None:
        """A move changes nothing but places: a secret that was set meanwhile replaces no container beside it, nor
        does a deploy that could not be done here.
        """
        previous = wanted.previous
        if previous is None or not self.manifest.intent.moves:
            return None
        stays = previous.machine == wanted.machine
        before = committed.service(self.view, ServiceRef(self.manifest.namespace, service.name))
        return previous.template_hash if stays and before == service else None

    def _versions(self, service: Service) -> dict[SecretName, int]:
        return versions_of(self.view, self.manifest.namespace, service)

    def _uncovered(
        self, service: Service, image: ImagePlan, ref: SlotRef, previous: SlotPlacement | None
    ) -> tuple[Uncovered, ...]:
        known = next(iter(self.answers.images(image.image_id).values()), None)
        found = self.answers.uncovered(previous.machine, ref, previous.operation_id) if previous else {}
        return tuple(uncovered(service.template, known.volumes if known else (), found))

    def _ended(self, ref: SlotRef, previous: SlotPlacement | None) -> int | None:
        return self.answers.ended(previous.machine, ref, previous.operation_id) if previous else None

    # ------------------------------------------------------------ checks

    def _check_uncovered(self, ref: SlotRef, found: tuple[Uncovered, ...]) -> None:
        lost = [each.path for each in found if each.written and not each.disposable]
        if lost:
            paths = ", ".join(lost)
            self.blockers.add(
                Code.DATA_UNCOVERED,
                f"{ref} has written to {paths}, which its image calls a VOLUME and no mount covers: a container in its "
                "place would find nothing there",
                f"Mount a volume at exactly {paths} and copy the data there first, or say that it may be lost: "
                f"disposable = {json.dumps(lost)} in its template.",
            )

    def _check_image(self, service: Service, image: ImagePlan) -> None:
        if image.origin is ImageOrigin.PULLED and service.template.pull_policy == "never":
            self.blockers.add(
                Code.IMAGE_MISSING,
                f"image {image.reference} of service {service.name} is on no participant, and pull_policy is never",
                "Load it on one of them: docker load.",
            )

    def _check_binds(self, service: Service, source: MachineId) -> None:
        binds = [mount.source.path for mount in service.template.mounts if isinstance(mount.source, BindSource)]
        if binds and self._moves(service):
            self.blockers.add(
                Code.BIND_MOUNT,
                f"service {service.name} binds {', '.join(binds)} of {source}: a folder of the host does not move",
                "Put that data into a volume, then deploy and migrate.",
            )

    # ------------------------------------------------------------ words

    def _moves(self, service: Service) -> bool:
        intent = self.manifest.intent
        named = {move.service for move in intent.services}
        if intent.leave is not None and intent.leave.services:
            return service.name in intent.leave.services
        return service.name in named or (intent.moves and not named)

    def _volumes(self, service: Service) -> tuple[VolumeRef, ...]:
        return tuple(VolumeRef(self.manifest.namespace, volume) for volume in service.template.volumes)

    def _ref(self, service: ServiceName, slot: SlotName) -> SlotRef:
        return SlotRef(ServiceRef(self.manifest.namespace, service), slot)


def _is_same(previous: SlotPlacement | None, template_hash: str) -> bool:
    return previous is not None and previous.template_hash == template_hash
