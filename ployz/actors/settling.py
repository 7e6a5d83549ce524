"""Makes one namespace on one machine agree with the facts: performs what plan/settle decides, in the one safe order.

The same after a commit, an abort, a start of ployzd, and a crash.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from ployz.actors.containers import Containers
from ployz.actors.core import Home
from ployz.actors.fetching import Fetching
from ployz.actors.gate import Gate
from ployz.actors.messages.images import FetchImage
from ployz.actors.messages.storage import SettleVolume
from ployz.actors.messages.workload import LookNow
from ployz.actors.parts import Parts
from ployz.config import EFFECT_TIMEOUT_S
from ployz.errors import Failed, PloyzError, Problem
from ployz.events.types import SlotPlacement
from ployz.host.ports import Container
from ployz.ids import OperationId, ServiceRef, SlotRef, VolumeRef
from ployz.plan import committed, names, settle
from ployz.plan.container import volumes_of
from ployz.plan.restart import should_restart


@frozen
class Settling:
    parts: Parts
    home: Home
    containers: Containers
    gate: Gate
    fetching: Fetching

    async def carry_out(self) -> None:
        """Removals first, which free volumes and addresses; then volumes; then what may start.

        Services behind a closed gate come last, because opening it may have to wait for another machine. A volume
        that a service must not run on keeps its own services down, and nothing else; what went wrong is raised at the
        end, and kept for the doctor.
        """
        services = {slot.service for slot, _ in self.containers.placed()}
        services |= {slot.service for slot, _ in await self.containers.found()}
        services |= set(self.gate.fences())
        for service in sorted(services):
            for action in await self._decide(service):
                if isinstance(action, settle.Remove):
                    await self.containers.remove(action.slot, action.container)
        broken, problems = await self._settle_volumes()
        startable = {service for service in services if not broken & self._volumes_of(service)}
        closed = {service for service in startable if self.gate.closed_by(service) is not None}
        problems |= await self._bring_up(startable - closed)
        await self.gate.open_decided()
        problems |= await self._bring_up(closed)
        self.parts.unsettled.found(self.containers.namespace, problems)
        for problem in problems.values():
            raise Failed(problem.code, problem.text, problem.advice)

    def _volumes_of(self, service: ServiceRef) -> set[VolumeRef]:
        manifest = committed.of_namespace(self.parts.view, service.namespace)
        if manifest is None or manifest.service(service.service) is None:
            return set()
        return set(volumes_of(manifest, service.service))

    async def _decide(self, service: ServiceRef) -> list[settle.ContainerAction]:
        return settle.settle_containers(
            [(slot, placement) for slot, placement in self.containers.placed() if slot.service == service],
            [
                settle.FoundContainer(
                    name=each.name,
                    slot=slot,
                    operation_id=OperationId(each.labels[names.LABEL_OPERATION]),
                    running=each.running,
                    wanted=self._wanted(service, each),
                )
                for slot, each in await self.containers.found(service)
            ],
            gate=settle.Gate(self.gate.closed_by(service)),
            status_of=self.parts.view.operations.status,
        )

    def _wanted(self, service: ServiceRef, container: Container) -> bool:
        if self.parts.local.finished(container.name) is not None:
            return False
        declared = committed.service(self.parts.view, service)
        if declared is None or container.exit_code is None or self.parts.local.stopped_by_us(container.name):
            return True
        return should_restart(declared.restart, container.exit_code)

    async def _settle_volumes(self) -> tuple[set[VolumeRef], dict[str, Problem]]:
        """Every volume of the namespace that the facts or the pool know. On which of them no service may run, and all
        that went wrong.
        """
        namespace = self.containers.namespace
        root = f"{self.parts.config.root_dataset}/{namespace}"
        found = {
            volume
            for each in await self.parts.zfs.children(root)
            if (volume := names.volume_of(self.parts.config.root_dataset, each)) is not None
        }
        owned = {each for each in self.parts.view.placement.volumes if each.namespace == namespace}
        broken: set[VolumeRef] = set()
        problems: dict[str, Problem] = {}
        for volume in sorted(found | owned):
            try:
                settled = await self.home.ref(f"volume/{volume}").ask(SettleVolume(), timeout_s=EFFECT_TIMEOUT_S)
            except PloyzError as error:
                broken.add(volume)
                problems[f"volume {volume}"] = error.problem
            else:
                problems |= {f"volume {volume}": each for each in settled.late[:1]}
        return broken, problems

    async def _bring_up(self, services: Iterable[ServiceRef]) -> dict[str, Problem]:
        problems: dict[str, Problem] = {}
        for service in sorted(services):
            try:
                for action in await self._decide(service):
                    await self._perform(action)
            except PloyzError as error:
                problems[f"service {service}"] = error.problem
        return problems

    async def _perform(self, action: settle.ContainerAction) -> None:
        match action:
            case settle.Start(slot=slot) | settle.Create(slot=slot):
                placement = self.containers.placement(slot)
                if placement is None:
                    return
                if isinstance(action, settle.Create):
                    if self.containers.has_ended_unseen(slot, names.container(slot, placement.operation_id)):
                        return  # and was cleaned away: it is not done twice
                    await self._require_image(slot, placement)
                await self.containers.run(slot, placement)
            case _:
                pass

    async def _require_image(self, slot: SlotRef, placement: SlotPlacement) -> None:
        """Its container was taken away, and with it what kept its image from being pruned."""
        await self.home.ref("workloads").ask(LookNow(), timeout_s=EFFECT_TIMEOUT_S)  # as may be the network
        service = committed.service(self.parts.view, slot.service)
        if service is not None:
            wanted = FetchImage(slot.service, service.template.image, placement.image_id)
            await self.fetching.require(wanted)
        self.containers.restarts.forget(names.container(slot, placement.operation_id))
