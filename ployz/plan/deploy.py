"""From an assignment and what the machines report, the plan: the second half, where the world may say no.

`questions` says whom to ask for what; `moves` says which sends to have estimated; `resolve` decides, and collects
every blocker there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve, field, frozen

from ployz.config import SPACE_RESERVE
from ployz.errors import Code, Problem
from ployz.events.types import OperationKind, SlotPlacement
from ployz.ids import MachineId, ServiceRef, VolumeRef
from ployz.manifest import Manifest, template_hash, to_canonical_json, without_intent
from ployz.manifest.model import BindSource, Owner, Publish, Service, Volume
from ployz.plan import addresses, committed, precopy
from ployz.plan.assign import Assignment, WantedSlot, WantedVolume
from ployz.plan.model import Change, ImageOrigin, ImagePlan, Plan, SlotPlan, VolumePlan
from ployz.plan.reports import MachineReport, Reports, SnapshotReport, Unanswered, VolumeReport, common_base
from ployz.projections.placement import NamespaceState
from ployz.projections.view import ClusterView


@frozen
class Questions:
    """What to ask one participant."""

    images: tuple[str, ...]
    volumes: tuple[VolumeRef, ...]


@frozen
class Move:
    """A volume that both sides reported: what its first send begins from."""

    volume: VolumeRef
    source: MachineId
    target: MachineId
    base: SnapshotReport | None


def questions(manifest: Manifest, assignment: Assignment, coordinator: MachineId) -> dict[MachineId, Questions]:
    """Every participant gets the same questions, so that an image is found wherever it is."""
    machines = {coordinator}
    for slot in assignment.slots:
        machines |= {slot.machine} | ({slot.previous.machine} if slot.previous else set())
    for volume in assignment.volumes:
        machines |= {volume.machine} | ({volume.previous.owner} if volume.previous else set())
    images = {service.template.image for service in manifest.services}
    images |= {slot.previous.image_id for slot in assignment.slots if slot.previous}
    asked = Questions(tuple(sorted(images)), tuple(volume.volume for volume in assignment.volumes))
    return dict.fromkeys(sorted(machines), asked)


def moves(assignment: Assignment, reports: Reports) -> list[Move]:
    """The moves whose first send can be estimated: those that both sides know something about."""
    return [
        Move(volume.volume, volume.previous.owner, volume.machine, _base(volume, reports))
        for volume in assignment.volumes
        if volume.previous is not None
        and volume.previous.owner != volume.machine
        and _report(reports, volume.previous.owner, volume.volume) is not None
    ]


def resolve(
    kind: OperationKind,
    manifest: Manifest,
    assignment: Assignment,
    view: ClusterView,
    reports: Reports,
    estimates: Mapping[VolumeRef, int],
    coordinator: MachineId,
) -> Plan:
    """`estimates`: bytes of the first send of each of `moves`. `manifest` may carry intent; the plan's has none."""
    return _Resolver(kind, manifest, assignment, view, reports, estimates, coordinator).resolve()


@frozen
class _Resolver:
    kind: OperationKind
    manifest: Manifest
    assignment: Assignment
    view: ClusterView
    reports: Reports
    estimates: Mapping[VolumeRef, int]
    coordinator: MachineId
    problems: list[Problem] = field(factory=list, init=False)

    def resolve(self) -> Plan:
        self.problems.extend(self.assignment.problems)
        for machine, report in sorted(self.reports.items()):
            if isinstance(report, Unanswered):
                self._problem(
                    Code.MACHINE_UNREACHABLE,
                    f"machine {machine} takes part and does not answer: {report.why}",
                    "Bring it back, or look at its ployzd and its overlay: ployzctl machine ls.",
                )
        volumes = tuple(self._volume(volume) for volume in self.assignment.volumes)
        slots = (*self._slots(), *map(_removed, self.assignment.removed))
        self._check_ports(slots)
        self._check_space(volumes)
        stopped = any(slot.change in (Change.MOVE, Change.REPLACE) for slot in slots)
        return Plan(
            kind=self.kind,
            namespace=self.manifest.namespace,
            coordinator=self.coordinator,
            manifest=to_canonical_json(without_intent(self.manifest)),
            slots=slots,
            volumes=volumes,
            blockers=tuple(self.problems),
            predicted_cutover_ms=precopy.predicted_cutover_ms(()) if stopped else 0,
        )

    # ------------------------------------------------------------ slots

    def _slots(self) -> Iterator[SlotPlan]:
        fresh = [slot for slot in self.assignment.slots if slot.previous is None]
        cluster = self.view.machines.cluster
        if cluster is None:
            raise AssertionError("a plan is made in a cluster")
        subnets = addresses.Subnets.of_cluster(cluster)
        numbers = addresses.free_slot_numbers(self.view, subnets, len(fresh))
        given = {(slot.service, slot.slot): subnets.slot(number) for slot, number in zip(fresh, numbers, strict=True)}
        for wanted in self.assignment.slots:
            service = self.manifest.service(wanted.service)
            if service is None:
                raise AssertionError(f"{wanted.service} was assigned and is not in the manifest")
            pair = given.get((wanted.service, wanted.slot)) or _addresses_of(wanted.previous)
            yield self._slot(service, wanted, pair)

    def _slot(self, service: Service, wanted: WantedSlot, pair: tuple[str, str]) -> SlotPlan:
        image = self._image(service, wanted)
        hashed = template_hash(service, image.image_id)
        previous = wanted.previous
        change = Change.REPLACE
        if previous is None:
            change = Change.CREATE
        elif previous.machine != wanted.machine:
            change = Change.MOVE
            self._check_movable(service, wanted)
        elif previous.template_hash == hashed:
            change = Change.UNCHANGED
        if change is not Change.UNCHANGED and image.origin is ImageOrigin.PULLED:
            self._check_pull(service, image)
        return SlotPlan(
            change=change,
            service=wanted.service,
            slot=wanted.slot,
            machine=wanted.machine,
            ipv6=pair[0],
            ipv4=pair[1],
            template_hash=hashed,
            image=None if change is Change.UNCHANGED else image,
            previous=previous,
        )

    def _image(self, service: Service, wanted: WantedSlot) -> ImagePlan:
        """A tag is resolved once: a slot whose manifest still says the same tag keeps its image, by id."""
        reference = service.template.image
        previous = wanted.previous
        sought = reference
        if (
            previous is not None
            and reference == self._image_before(service)
            and service.template.pull_policy != "always"
        ):
            sought = previous.image_id
        here = self._machine(wanted.machine)
        if here is not None and (found := here.image(sought)) is not None:
            return ImagePlan(reference, found.image_id, ImageOrigin.PRESENT, None, found.size_bytes)
        for machine, report in sorted(self.reports.items()):
            if isinstance(report, MachineReport) and (found := report.image(sought)) is not None:
                return ImagePlan(reference, found.image_id, ImageOrigin.COPIED, machine, found.size_bytes)
        known = sought if sought != reference else ""
        return ImagePlan(reference, known, ImageOrigin.PULLED, None, 0)

    def _image_before(self, service: Service) -> str | None:
        before = committed.service(self.view, ServiceRef(self.manifest.namespace, service.name))
        return before.template.image if before else None

    def _check_pull(self, service: Service, image: ImagePlan) -> None:
        if service.template.pull_policy == "never":
            self._problem(
                Code.IMAGE_MISSING,
                f"image {image.reference} of service {service.name} is on no participant, and pull_policy is never",
                "Load it on one of them: docker load.",
            )

    def _check_movable(self, service: Service, wanted: WantedSlot) -> None:
        binds = [mount.source.path for mount in service.template.mounts if isinstance(mount.source, BindSource)]
        if binds and self.kind is OperationKind.MIGRATE:
            self._problem(
                Code.BIND_MOUNT,
                f"service {service.name} binds {', '.join(binds)} of {wanted.previous and wanted.previous.machine}: "
                "a folder of the host does not move",
                "Put that data into a volume, then deploy and migrate.",
            )

    def _check_ports(self, slots: tuple[SlotPlan, ...]) -> None:
        """A published port of a machine belongs to one service. Within the manifest that was checked already."""
        taken = {
            (slot.machine, publish.host_port): ServiceRef(state.namespace, slot.service)
            for state in self.view.placement.namespaces.values()
            if state.namespace != self.manifest.namespace
            for slot, publish in _published(state)
        }
        for slot in slots:
            service = self.manifest.service(slot.service)
            for publish in service.publish if service else ():
                other = taken.get((slot.machine, publish.host_port))
                if other is not None:
                    self._problem(
                        Code.PORT_TAKEN,
                        f"port {publish.host_port} of {slot.machine} is published by {other}",
                        "Publish another port, or move one of the two services.",
                    )

    # ------------------------------------------------------------ volumes

    def _volume(self, wanted: WantedVolume) -> VolumePlan:
        declared = self.manifest.volume(wanted.volume.volume)
        if declared is None:
            raise AssertionError(f"{wanted.volume} was assigned and is not in the manifest")
        quota_bytes = declared.quota_bytes or 0
        plan = VolumePlan(
            change=Change.CREATE if wanted.previous is None else Change.UNCHANGED,
            volume=wanted.volume,
            machine=wanted.machine,
            previous=wanted.previous,
            quota_bytes=quota_bytes,
            mode=_mode(declared),
            owner=_owner(declared.owner),
        )
        if wanted.previous is None:
            self._check_nothing_in_the_way(wanted)
            return plan
        found = _report(self.reports, wanted.previous.owner, wanted.volume)
        if found is None:
            self._check_lost(wanted)
            return plan
        if wanted.previous.owner == wanted.machine:
            changed = found.quota_bytes != quota_bytes
            return evolve(plan, change=Change.REPLACE) if changed else plan
        return self._moved(plan, wanted, found)

    def _moved(self, plan: VolumePlan, wanted: WantedVolume, found: VolumeReport) -> VolumePlan:
        if wanted.previous is None:
            raise AssertionError("a volume without an owner does not move")
        for stranger in found.strangers:
            self._problem(
                Code.DATASET_BUSY,
                f"volume {wanted.volume} is used on {wanted.previous.owner} by process {stranger.pid} "
                f"({stranger.command}), which is not its service",
                "End that process, or let it leave the folder.",
            )
        copy = _report(self.reports, wanted.machine, wanted.volume)
        if copy is not None and (copy.epoch == 0 or copy.epoch >= wanted.previous.epoch):
            self._problem(
                Code.DATASET_IN_THE_WAY,
                f"{wanted.machine} has a dataset of {wanted.volume} whose epoch ({copy.epoch}) does not prove that it "
                f"is older than the owner's ({wanted.previous.epoch})",
                "Look at it there, and rename or destroy it.",
            )
        base = _base(wanted, self.reports)
        first = self.estimates.get(wanted.volume, found.referenced_bytes)
        target = self._machine(wanted.machine)
        return evolve(
            plan,
            change=Change.MOVE,
            size_bytes=found.referenced_bytes,
            base=base.name if base else None,
            first_send_bytes=first,
            expected_rounds=precopy.expected_rounds(first),
            target_free_bytes=_usable(target) if target else 0,
            replaces_stale_copy=copy is not None and base is None,
        )

    def _check_nothing_in_the_way(self, wanted: WantedVolume) -> None:
        if _report(self.reports, wanted.machine, wanted.volume) is not None:
            self._problem(
                Code.DATASET_IN_THE_WAY,
                f"{wanted.machine} has a dataset for {wanted.volume}, which no fact knows",
                "Look at it there, and rename or destroy it.",
            )

    def _check_lost(self, wanted: WantedVolume) -> None:
        owner = wanted.previous.owner if wanted.previous else wanted.machine
        if self._machine(owner) is not None:
            self._problem(
                Code.OWNED_ELSEWHERE,
                f"volume {wanted.volume} is recorded as owned by {owner}, which has no dataset for it",
                f"Look whether the pool of {owner} is imported.",
            )

    def _check_space(self, volumes: tuple[VolumePlan, ...]) -> None:
        needed: dict[MachineId, int] = {}
        for volume in volumes:
            if volume.change is Change.MOVE:
                needed[volume.machine] = needed.get(volume.machine, 0) + volume.first_send_bytes
                if volume.quota_bytes and volume.size_bytes > volume.quota_bytes:
                    self._problem(
                        Code.NO_SPACE,
                        f"volume {volume.volume} holds {volume.size_bytes} bytes, more than its quota of "
                        f"{volume.quota_bytes}: the target could not take it",
                        "Raise its quota in the manifest and deploy, then migrate.",
                    )
        for machine, size_bytes in sorted(needed.items()):
            report = self._machine(machine)
            if report is not None and size_bytes > _usable(report):
                self._problem(
                    Code.NO_SPACE,
                    f"{machine} has {_usable(report)} bytes of space to use, and {size_bytes} are to be sent",
                    "Free space there, or choose another machine.",
                )

    def _machine(self, machine: MachineId) -> MachineReport | None:
        report = self.reports.get(machine)
        return report if isinstance(report, MachineReport) else None

    def _problem(self, code: Code, text: str, advice: str = "") -> None:
        problem = Problem(code, text, advice)
        if problem not in self.problems:
            self.problems.append(problem)


def _usable(report: MachineReport) -> int:
    return max(0, report.pool_free_bytes - int(SPACE_RESERVE * report.pool_size_bytes))


def _report(reports: Reports, machine: MachineId, volume: VolumeRef) -> VolumeReport | None:
    report = reports.get(machine)
    return report.volume(volume) if isinstance(report, MachineReport) else None


def _base(wanted: WantedVolume, reports: Reports) -> SnapshotReport | None:
    if wanted.previous is None:
        return None
    source = _report(reports, wanted.previous.owner, wanted.volume)
    target = _report(reports, wanted.machine, wanted.volume)
    return common_base(source.snapshots, target.snapshots) if source and target else None


def _removed(slot: SlotPlacement) -> SlotPlan:
    return SlotPlan(
        change=Change.REMOVE,
        service=slot.service,
        slot=slot.slot,
        machine=slot.machine,
        ipv6=slot.ipv6,
        ipv4=slot.ipv4,
        template_hash=slot.template_hash,
        image=None,
        previous=slot,
    )


def _published(state: NamespaceState) -> Iterator[tuple[SlotPlacement, Publish]]:
    manifest = committed.from_fact(state.manifest)
    for slot in state.slots.values():
        service = manifest.service(slot.service)
        for publish in service.publish if service else ():
            yield slot, publish


def _addresses_of(previous: SlotPlacement | None) -> tuple[str, str]:
    if previous is None:
        raise AssertionError("a slot without a past gets new addresses")
    return previous.ipv6, previous.ipv4


def _mode(volume: Volume) -> str:
    return "" if volume.mode is None else f"{volume.mode:04o}"


def _owner(owner: Owner | None) -> str:
    return "" if owner is None else f"{owner.uid}:{owner.gid}"
