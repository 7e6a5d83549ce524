"""The services actor: what an operator sees of services and volumes, asked from the machines that have them."""

from __future__ import annotations

from functools import partial

from attrs import evolve

from ployz.actors.core import Actor, handles
from ployz.actors.messages.probing import ProbeMachine
from ployz.actors.messages.services import (
    AsideRow,
    CopyDropped,
    CopyRow,
    DropCopy,
    ListServices,
    ListVolumes,
    ReadServiceLogs,
    RemoveVolume,
    ServiceDetail,
    ServiceList,
    ServiceLogText,
    ShowService,
    ShowVolume,
    SlotRow,
    VolumeDetail,
    VolumeList,
    VolumeRow,
)
from ployz.actors.messages.storage import AskSizes, DestroyCopy, DestroyVolume, VolumeSize
from ployz.actors.messages.workload import ReadLogs, SlotState
from ployz.actors.parts import Parts
from ployz.actors.together import together
from ployz.actors.whereabouts import slot_states, state_word
from ployz.actors.work import catch_up, failures
from ployz.config import ASK_TIMEOUT_S, EFFECT_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import CleanupPending, Code, PloyzError, Refused
from ployz.events.types import SlotPlacement, VolumePlacement
from ployz.facts.conflicts import accepted
from ployz.facts.keys import LockHolder, VolumeOwnership
from ployz.facts.lock import hold
from ployz.facts.transactions import remove_volume
from ployz.ids import MachineId, ServiceRef, SlotRef, VolumeRef
from ployz.manifest import to_toml
from ployz.plan import committed
from ployz.plan.reports import MachineReport, VolumeReport
from ployz.plan.volumes import in_the_way_of_dropping, in_the_way_of_removing
from ployz.projections.view import ClusterView
from ployz.wire.message import Done

LOG_LINES_MAX = 10_000


class ServicesActor(Actor):
    """`services`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ------------------------------------------------------------ services

    @handles(ListServices, concurrent=True)
    async def list_services(self, message: ListServices) -> ServiceList:  # noqa: ARG002 - it says "now"
        return ServiceList(self._parts.view.position, await self._slot_rows(list(self._parts.view.placement.slots())))

    @handles(ShowService, concurrent=True)
    async def show_service(self, message: ShowService) -> ServiceDetail:
        slots = self._slots_of(message.service)
        manifest = committed.of_namespace(self._parts.view, message.service.namespace)
        service = manifest.service(message.service.service) if manifest else None
        if manifest is None or service is None:
            raise AssertionError(f"{message.service} has slots and no manifest")
        mounted = [volume for volume in manifest.volumes if volume.name in service.template.volumes]
        named = [each for each in manifest.secrets if each.name in {used.secret for used in service.template.secrets}]
        return ServiceDetail(
            service=message.service,
            toml=to_toml(evolve(manifest, services=(service,), volumes=tuple(mounted), secrets=tuple(named))),
            slots=await self._slot_rows(slots),
            volumes=tuple(VolumeRef(manifest.namespace, volume.name) for volume in mounted),
        )

    @handles(ReadServiceLogs, concurrent=True)
    async def logs(self, message: ReadServiceLogs) -> ServiceLogText:
        slots = [each for each in self._slots_of(message.service) if message.slot in (None, each[0].slot)]
        if not slots:
            raise Refused(Code.UNKNOWN_SERVICE, f"{message.service} has no slot {message.slot}", "ployzctl service ls")
        if len(slots) > 1:
            known = ", ".join(slot.slot for slot, _ in slots)
            raise Refused(Code.USAGE, f"{message.service} has several slots", f"Choose one with --slot: {known}.")
        ((slot, placement),) = slots
        ask = ReadLogs(slot.service.service, slot.slot, min(message.tail, LOG_LINES_MAX))
        workload = self.system.remote(placement.machine, f"workload/{slot.service.namespace}")
        return ServiceLogText((await workload.ask(ask, timeout_s=ASK_TIMEOUT_S)).text)

    def _slots_of(self, service: ServiceRef) -> list[tuple[SlotRef, SlotPlacement]]:
        slots = [each for each in self._parts.view.placement.slots() if each[0].service == service]
        if not slots:
            known = sorted({str(slot.service) for slot, _ in self._parts.view.placement.slots()})
            advice = f"There are: {', '.join(known)}." if known else "Nothing is deployed yet."
            raise Refused(Code.UNKNOWN_SERVICE, f"there is no service {service}", advice)
        return slots

    async def _slot_rows(self, slots: list[tuple[SlotRef, SlotPlacement]]) -> tuple[SlotRow, ...]:
        asked = sorted({(placement.machine, slot.service.namespace) for slot, placement in slots})
        answers = await together(*(partial(slot_states, self.system, *each) for each in asked))
        states = dict(zip(asked, answers, strict=True))
        return tuple(
            self._slot_row(slot, placement, states[placement.machine, slot.service.namespace])
            for slot, placement in slots
        )

    def _slot_row(self, slot: SlotRef, placement: SlotPlacement, states: dict[SlotRef, SlotState] | None) -> SlotRow:
        found = states.get(slot) if states is not None else None
        return SlotRow(
            service=slot.service,
            slot=slot.slot,
            machine=placement.machine,
            state="unknown" if states is None else state_word(found),
            image=self._image(slot.service),
            ipv6=placement.ipv6,
            ipv4=placement.ipv4,
            since_ms=found.since_ms if found else 0,
            restarts=found.restarts if found else 0,
            why=found.why if found else "",
        )

    def _image(self, service: ServiceRef) -> str:
        declared = committed.service(self._parts.view, service)
        return declared.template.image if declared else ""

    # ------------------------------------------------------------ volumes

    @handles(ListVolumes, concurrent=True)
    async def list_volumes(self, message: ListVolumes) -> VolumeList:  # noqa: ARG002 - it says "now"
        placements = [placement for _, placement in sorted(self._parts.view.placement.volumes.items())]
        owners = sorted({placement.owner for placement in placements})
        owned = [tuple(each.volume for each in placements if each.owner == owner) for owner in owners]
        answers = await together(*(partial(self._sizes, *each) for each in zip(owners, owned, strict=True)))
        found = {each.volume: each for answer in answers for each in answer}
        used = used_by(self._parts.view)
        rows = tuple(_volume_row(each, found.get(each.volume), used.get(each.volume, ())) for each in placements)
        return VolumeList(self._parts.view.position, rows)

    async def _sizes(self, machine: MachineId, volumes: tuple[VolumeRef, ...]) -> tuple[VolumeSize, ...]:
        try:
            sizes = await self.system.remote(machine, "storage").ask(AskSizes(volumes), timeout_s=PROBE_TIMEOUT_S)
        except PloyzError:
            return ()
        return sizes.volumes

    @handles(ShowVolume, concurrent=True)
    async def show_volume(self, message: ShowVolume) -> VolumeDetail:
        placement = self._owned(message.volume)
        machines = [member.machine for member in self._parts.view.machines.in_order()]
        answers = await together(*(partial(self._report, machine, (message.volume,)) for machine in machines))
        reports = dict(zip(machines, answers, strict=True))
        return VolumeDetail(
            row=self._row(placement, reports.get(placement.owner)),
            copies=tuple(
                CopyRow(
                    machine=machine,
                    epoch=found.epoch,
                    owner=machine == placement.owner,
                    referenced_bytes=found.referenced_bytes,
                    snapshots=tuple(each.name for each in found.snapshots),
                    snapshots_bytes=found.snapshots_bytes,
                )
                for machine, report in reports.items()
                if report is not None and (found := report.volume(message.volume)) is not None
            ),
            unanswered=tuple(machine for machine, report in reports.items() if report is None),
            asides=tuple(
                AsideRow(machine, each.dataset, each.referenced_bytes)
                for machine, report in reports.items()
                for each in (report.asides if report else ())
            ),
        )

    @handles(DropCopy, concurrent=True)
    async def drop_copy(self, message: DropCopy) -> CopyDropped:
        """Under the lock no operation begins that would build on it. The owner must show that it has the volume."""
        volume, machine = message.volume, message.machine
        self._owned(volume)
        holder = self._holder(f"drop the copy of {volume} on {machine}")
        async with hold(self._parts.facts, self._parts.clock, volume.namespace, holder):
            await catch_up(self._parts)
            owned = self._owned(volume)
            there, at_owner = await together(
                *(partial(self._report, each, (volume,), hindrances=True) for each in (machine, owned.owner))
            )
            reports = {machine: there, owned.owner: at_owner}
            members = [each.machine for each in self._parts.view.machines.in_order()]
            for problem in in_the_way_of_dropping(owned, machine, reports, members):
                raise Refused(problem.code, problem.text, problem.advice)
            destroy = DestroyCopy(volume, self._parts.view.position)
            await self.system.remote(machine, f"volume/{volume}").ask(destroy, timeout_s=EFFECT_TIMEOUT_S)
        found = there.volume(volume) if there else None
        return CopyDropped(machine, found.referenced_bytes + found.snapshots_bytes if found else 0)

    def _holder(self, purpose: str) -> LockHolder:
        return LockHolder(
            machine=self._parts.me,
            operation_id=self._parts.new_operation_id(),
            purpose=purpose,
            since_ms=self._parts.clock.wall_ms(),
            operator=str(self.sender),
        )

    @handles(RemoveVolume, concurrent=True)
    async def remove(self, message: RemoveVolume) -> Done:
        """The fact first: from then on nobody owns it. Then its copies, everywhere."""
        placement = self._owned(message.volume)
        holder = self._holder(f"remove volume {message.volume}")
        async with hold(self._parts.facts, self._parts.clock, message.volume.namespace, holder) as lock:
            await catch_up(self._parts)
            self._check_unused(message.volume)
            await self._check_removable(message.volume)
            seen = VolumeOwnership(placement.owner, placement.epoch)
            removal = remove_volume(message.volume, seen, lock.token)
            position = accepted(await self._parts.facts.transact(removal)).position
            await self._destroy_copies(message.volume, position)
        return Done()

    async def _destroy_copies(self, volume: VolumeRef, position: int) -> None:
        async def destroy(machine: MachineId) -> None:
            message = DestroyVolume(volume, position)
            await self.system.remote(machine, f"volume/{volume}").ask(message, timeout_s=EFFECT_TIMEOUT_S)

        pending = await failures([member.machine for member in self._parts.view.machines.in_order()], destroy)
        if pending:
            where = "; ".join(f"{machine}: {why}" for machine, why in sorted(pending.items()))
            raise CleanupPending(
                Code.CLEANUP_PENDING,
                f"volume {volume} is removed, and copies of it may be left: {where}",
                "Look at the pools of these machines when they are back.",
            )

    def _check_unused(self, volume: VolumeRef) -> None:
        if committed.volume(self._parts.view, volume) is not None:
            raise Refused(
                Code.VOLUME_IN_USE,
                f"volume {volume} is declared in the manifest of {volume.namespace}",
                "Deploy a manifest without it first. Its data stays until it is removed.",
            )

    async def _check_removable(self, volume: VolumeRef) -> None:
        """On every machine that answers: what would keep a copy from being destroyed is found before anything is."""
        machines = [member.machine for member in self._parts.view.machines.in_order()]
        answers = await together(*(partial(self._report, each, (volume,), hindrances=True) for each in machines))
        for machine, report in zip(machines, answers, strict=True):
            found = report.volume(volume) if report else None
            for problem in in_the_way_of_removing(machine, found) if found else ():
                raise Refused(problem.code, problem.text, problem.advice)

    def _owned(self, volume: VolumeRef) -> VolumePlacement:
        placement = self._parts.view.placement.volumes.get(volume)
        if placement is None:
            known = ", ".join(str(each) for each in sorted(self._parts.view.placement.volumes))
            raise Refused(Code.UNKNOWN_VOLUME, f"there is no volume {volume}", f"There are: {known or 'none'}.")
        return placement

    async def _report(
        self, machine: MachineId, volumes: tuple[VolumeRef, ...], *, hindrances: bool = False
    ) -> MachineReport | None:
        """None: it does not answer."""
        try:
            return await self.system.remote(machine, "machine").ask(
                ProbeMachine((), volumes, hindrances=hindrances), timeout_s=PROBE_TIMEOUT_S
            )
        except PloyzError:
            return None

    def _row(self, placement: VolumePlacement, report: MachineReport | None) -> VolumeRow:
        found = report.volume(placement.volume) if report else None
        return _volume_row(placement, found, used_by(self._parts.view).get(placement.volume, ()))


def used_by(view: ClusterView) -> dict[VolumeRef, tuple[ServiceRef, ...]]:
    """The services that mount each volume, in the order of their manifests; each manifest is read once."""
    found: dict[VolumeRef, tuple[ServiceRef, ...]] = {}
    for namespace in view.placement.namespaces:
        manifest = committed.of_namespace(view, namespace)
        for service in manifest.services if manifest else ():
            for name in dict.fromkeys(service.template.volumes):
                volume = VolumeRef(namespace, name)
                found[volume] = (*found.get(volume, ()), ServiceRef(namespace, service.name))
    return found


def _volume_row(
    placement: VolumePlacement, found: VolumeSize | VolumeReport | None, services: tuple[ServiceRef, ...]
) -> VolumeRow:
    return VolumeRow(
        volume=placement.volume,
        owner=placement.owner,
        epoch=placement.epoch,
        used_by=services,
        referenced_bytes=found.referenced_bytes if found else None,
        quota_bytes=found.quota_bytes if found else 0,
        snapshots_bytes=found.snapshots_bytes if found else 0,
    )
