"""The workload actor: the containers of one namespace on one machine, and the gate that decides what may start.

A gate is closed by a durable ServiceFenced event and opened by the decision of that operation. Nothing else opens it:
not a restart of ployzd, of Docker, or of the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import anyio

from ployz.actors.candidates import CandidateLease
from ployz.actors.core import Actor, handles
from ployz.actors.messages.routing import ClaimAddress
from ployz.actors.messages.storage import MountVolume, SettleVolume, TakeSnapshots, UnmountVolume
from ployz.actors.messages.workload import (
    CastVote,
    ContainerDied,
    CreateCandidate,
    Fence,
    FencedReport,
    LogText,
    ReadLogs,
    ReadyReport,
    Settle,
    ShowWorkload,
    SlotState,
    StartCandidate,
    Withdraw,
    WorkloadState,
)
from ployz.actors.parts import Parts
from ployz.actors.restarting import Restarts
from ployz.actors.together import together
from ployz.actors.waiting import wait_until_ready
from ployz.actors.withdrawal import candidates_gone
from ployz.config import ASK_TIMEOUT_S, EFFECT_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.events.log import Entry
from ployz.events.types import (
    ContainerCreated,
    ContainerReady,
    ContainerRemoved,
    ContainerRestarted,
    ContainerStarted,
    ContainerStopped,
    ServiceFenced,
    ServiceUnfenced,
    SlotPlacement,
    SnapshotTaken,
    VoteCast,
)
from ployz.facts.keys import Vote
from ployz.facts.port import Conflict
from ployz.facts.transactions import cast_vote
from ployz.host.ports import Container, ContainerSpec
from ployz.ids import Namespace, OperationId, ServiceName, ServiceRef, SlotName, SlotRef, VolumeRef
from ployz.manifest import Manifest
from ployz.plan import committed, names, settle
from ployz.plan.container import container_spec, service_of, volumes_of
from ployz.plan.restart import should_restart
from ployz.projections.operations import Status
from ployz.wire.message import Done


class WorkloadActor(Actor):
    """`workload/NAMESPACE`."""

    def __init__(self, parts: Parts, namespace: Namespace) -> None:
        self._parts = parts
        self._namespace = namespace
        self._restarts = Restarts(parts, self._restart)
        self._lease = CandidateLease(parts, self._remove)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._restarts.run)
            tasks.start_soon(self._lease.run)

    # ------------------------------------------------------------ a candidate

    @handles(CreateCandidate)
    async def create(self, message: CreateCandidate) -> Done:
        await self._parts.in_operation(message.operation_id, message.position)
        manifest = committed.from_fact(message.manifest)
        candidate = message.candidate
        spec = self._spec(
            manifest,
            SlotPlacement(
                service=candidate.service,
                slot=candidate.slot,
                machine=self._parts.me,
                ipv6=candidate.ipv6,
                ipv4=candidate.ipv4,
                image_id=candidate.image_id,
                template_hash=candidate.template_hash,
                operation_id=message.operation_id,
            ),
        )
        slot = self._slot(candidate.service, candidate.slot)
        await self._parts.journal.perform(
            message.operation_id,
            names.step("create", slot),
            self._stream(candidate.service),
            spec.name,
            lambda: self._create(manifest, slot, spec),
        )
        return Done()

    async def _create(self, manifest: Manifest, slot: SlotRef, spec: ContainerSpec) -> ContainerCreated:
        for volume in volumes_of(manifest, slot.service.service):
            # Docker refuses a missing source; what is mounted there before the start is the dataset.
            await self._parts.folders.ensure(self._parts.mountpoint(volume))
        await self._parts.docker.create(spec)
        return ContainerCreated(slot, spec.name)

    @handles(StartCandidate)
    async def start(self, message: StartCandidate) -> ReadyReport:
        await self._parts.in_operation(message.operation_id, message.position)
        candidate = message.candidate
        slot = self._slot(candidate.service, candidate.slot)
        self._check_gate(slot.service, but=message.operation_id)
        manifest = committed.from_fact(message.manifest)
        name = names.container(slot, message.operation_id)
        await self._stop_others(slot, name, message.operation_id)
        began_s = anyio.current_time()
        await together(
            partial(self._claim, ClaimAddress(message.operation_id, slot.service, candidate)),
            *(partial(self._mount, volume, message.operation_id) for volume in volumes_of(manifest, candidate.service)),
            *([partial(self._lease.take, message.operation_id, slot, name)] if self._is_elsewhere(slot) else []),
        )
        mounted_s = anyio.current_time()
        await self._parts.journal.perform(
            message.operation_id,
            names.step("start", slot),
            self._stream(candidate.service),
            name,
            lambda: self._start(slot, name),
        )
        started_s = anyio.current_time()
        service = service_of(manifest, candidate.service)
        attempts = await wait_until_ready(self._parts.docker, self._parts.looks, service, name, candidate.ipv4)
        ready_s = anyio.current_time()
        await self._record(slot, ContainerReady(slot, name, attempts), message.operation_id)
        return ReadyReport(
            mount_ms=_ms(mounted_s - began_s),
            start_ms=_ms(started_s - mounted_s),
            ready_ms=_ms(ready_s - started_s),
            attempts=attempts,
        )

    async def _stop_others(self, slot: SlotRef, name: str, operation_id: OperationId) -> None:
        """The container that this one replaces where it is. It is kept, stopped, until the commit."""
        for each_slot, each in await self._found(slot.service):
            if each_slot == slot and each.name != name and each.running:
                await self._stop(slot, each.name, operation_id)

    async def _start(self, slot: SlotRef, name: str) -> ContainerStarted:
        await self._parts.docker.start(name)
        return ContainerStarted(slot, name)

    # ------------------------------------------------------------ giving away

    @handles(Fence)
    async def fence(self, message: Fence) -> FencedReport:
        """Closes the gate, stops, unmounts, snapshots, votes. From the first line on, nothing starts here again
        before the operation is decided.
        """
        operation = await self._parts.in_operation(message.operation_id, message.position)
        services = sorted({slot.service for slot in message.slots})
        for service in services:
            self._check_gate(service, but=message.operation_id)
        await self._parts.journal.append(
            [
                Entry(
                    self._stream(service.service),
                    ServiceFenced(service, operation.operation_id),
                    operation.operation_id,
                    names.step("fence", service),
                )
                for service in services
            ]
        )
        began_s = anyio.current_time()
        containers = await self._stop_all(message.slots, message.operation_id)
        stopped_s = anyio.current_time()
        await together(
            *(partial(self._remove, slot, name) for slot, name in containers),
            *(partial(self._unmount, volume, message.operation_id) for volume in message.volumes),
        )
        unmounted_s = anyio.current_time()
        snapshots: tuple[SnapshotTaken, ...] = ()
        if message.volumes:
            taking = TakeSnapshots(message.operation_id, message.position, message.round, message.volumes)
            taken = await self.system.ref("storage").ask(taking, timeout_s=EFFECT_TIMEOUT_S)
            snapshots = taken.snapshots
            await self._vote(message.operation_id, snapshots)
        return FencedReport(
            snapshots=snapshots,
            stop_ms=_ms(stopped_s - began_s),
            unmount_ms=_ms(unmounted_s - stopped_s),
            snapshot_ms=_ms(anyio.current_time() - unmounted_s),
        )

    async def _stop_all(self, slots: Sequence[SlotRef], operation_id: OperationId) -> list[tuple[SlotRef, str]]:
        """Everything that fills these slots, but a container of this operation itself."""
        found = [
            (slot, each.name)
            for service in sorted({slot.service for slot in slots})
            for slot, each in await self._found(service)
            if slot in slots and each.labels[names.LABEL_OPERATION] != operation_id
        ]
        await together(*(partial(self._stop, slot, name, operation_id) for slot, name in found))
        return found

    async def _stop(self, slot: SlotRef, name: str, operation_id: OperationId) -> None:
        declared = committed.service(self._parts.view, slot.service)
        self._restarts.expect_exit(name)
        await self._parts.docker.stop(name, grace_s=declared.template.stop_grace_period_s if declared else 0.0)
        await self._record(slot, ContainerStopped(slot, name), operation_id)

    @handles(CastVote)
    async def vote(self, message: CastVote) -> Done:
        await self._parts.in_operation(message.operation_id, message.position)
        await self._vote(message.operation_id, message.snapshots)
        return Done()

    async def _vote(self, operation_id: OperationId, snapshots: tuple[SnapshotTaken, ...]) -> None:
        outcome = await self._parts.facts.transact(cast_vote(operation_id, self._parts.me, Vote(snapshots)))
        if isinstance(outcome, Conflict):
            raise Refused(Code.DECIDED, f"operation {operation_id} is decided: {self._parts.me} does not vote any more")
        await self._parts.journal.record(
            f"operation/{operation_id}", VoteCast(snapshots), operation_id=operation_id, step=names.step("vote", "own")
        )

    # ------------------------------------------------------------ agreeing with the facts

    @handles(Settle)
    async def agree(self, message: Settle) -> Done:
        """After a commit, an abort, a start of ployzd: what runs here is what the facts place here, and no more."""
        await self._parts.mirror.wait_for(message.position, ASK_TIMEOUT_S)
        services = {slot.service for slot, _ in self._placed()}
        services |= {slot.service for slot, _ in await self._found()}
        services |= {service for service in self._parts.local.fences if service.namespace == self._namespace}
        await self._watch_candidates()
        for service in sorted(services):
            for action in await self._decide(service):
                if isinstance(action, settle.Remove):
                    await self._remove(action.slot, action.container)
        problems = await self._settle_volumes()
        closed = {service for service in services if self._closed_by(service) is not None}
        await self._bring_all_up(services - closed)
        await self._open_gates()
        await self._bring_all_up(closed)
        if problems:
            raise problems[0]
        return Done()

    async def _decide(self, service: ServiceRef) -> list[settle.ContainerAction]:
        return settle.settle_containers(
            [(slot, placement) for slot, placement in self._placed() if slot.service == service],
            [
                settle.FoundContainer(
                    name=each.name,
                    slot=slot,
                    operation_id=OperationId(each.labels[names.LABEL_OPERATION]),
                    running=each.running,
                    wanted=self._wanted(service, each),
                )
                for slot, each in await self._found(service)
            ],
            gate=settle.Gate(self._closed_by(service)),
            status_of=self._parts.view.operations.status,
        )

    def _wanted(self, service: ServiceRef, container: Container) -> bool:
        declared = committed.service(self._parts.view, service)
        if declared is None or container.exit_code is None or self._parts.local.stopped_by_us(container.name):
            return True
        return should_restart(declared.restart, container.exit_code)

    async def _settle_volumes(self) -> list[PloyzError]:
        """Every volume of the namespace that the facts or the pool know. One that cannot settle stops no other."""
        root = f"{self._parts.config.root_dataset}/{self._namespace}"
        below = await self._parts.zfs.children(root)
        found = {VolumeRef.parse(f"{self._namespace}/{each.rpartition('/')[2]}") for each in below}
        owned = {each for each in self._parts.view.placement.volumes if each.namespace == self._namespace}
        problems: list[PloyzError] = []
        for volume in sorted(found | owned):
            try:
                await self.system.ref(f"volume/{volume}").ask(SettleVolume(), timeout_s=EFFECT_TIMEOUT_S)
            except PloyzError as error:
                problems.append(error)
        return problems

    async def _bring_all_up(self, services: Iterable[ServiceRef]) -> None:
        for service in sorted(services):
            for action in await self._decide(service):
                await self._bring_up(action)

    async def _bring_up(self, action: settle.ContainerAction) -> None:
        match action:
            case settle.Start(name, slot):
                placement = self._placement(slot)
                if placement is not None:
                    await self._mount_all(slot.service, placement.operation_id)
                    await self._run(slot, name, placement.operation_id)
            case settle.Create(slot, placement):
                manifest = committed.of_namespace(self._parts.view, self._namespace)
                if manifest is None:
                    return
                spec = self._spec(manifest, placement)
                await self._mount_all(slot.service, placement.operation_id)
                await self._parts.docker.create(spec)
                await self._run(slot, spec.name, placement.operation_id)
            case _:
                pass

    async def _run(self, slot: SlotRef, name: str, operation_id: OperationId) -> None:
        self._restarts.starting(name)
        await self._parts.docker.start(name)
        await self._record(slot, ContainerStarted(slot, name), operation_id)

    # ------------------------------------------------------------ the gate

    def _closed_by(self, service: ServiceRef) -> OperationId | None:
        return self._parts.local.fences.get(service)

    def _check_gate(self, service: ServiceRef, *, but: OperationId) -> None:
        closed_by = self._closed_by(service)
        if closed_by is not None and closed_by != but:
            raise Refused(Code.FENCED, f"{service} is fenced on {self._parts.me} by operation {closed_by}")

    async def _open_gates(self) -> None:
        """Of operations that are decided; and after an abort, once no candidate runs elsewhere."""
        mine = {
            service: each for service, each in self._parts.local.fences.items() if service.namespace == self._namespace
        }
        for operation_id in sorted(set(mine.values())):
            operation = self._parts.view.operations.get(operation_id)
            if operation is None or operation.status is Status.UNDECIDED:
                continue
            if operation.status is Status.ABORTED:
                await candidates_gone(self._parts, self.system, operation)
            for service in sorted(service for service, closed_by in mine.items() if closed_by == operation_id):
                await self._parts.journal.record(self._stream(service.service), ServiceUnfenced(service, operation_id))

    @handles(Withdraw, concurrent=True)
    async def withdraw(self, message: Withdraw) -> Done:
        await self._parts.mirror.wait_for(message.position, ASK_TIMEOUT_S)
        if self._parts.view.operations.status(message.operation_id) is Status.ABORTED:
            for slot, each in await self._found():
                if each.labels[names.LABEL_OPERATION] == message.operation_id:
                    await self._remove(slot, each.name)
        return Done()

    async def _watch_candidates(self) -> None:
        """Those that a ployzd before this one has started."""
        for slot, each in await self._found():
            operation_id = OperationId(each.labels[names.LABEL_OPERATION])
            undecided = self._parts.view.operations.status(operation_id) is Status.UNDECIDED
            if undecided and each.running and self._is_elsewhere(slot):
                self._lease.resume(operation_id, slot, each.name)

    # ------------------------------------------------------------ restarting

    @handles(ContainerDied)
    async def died(self, message: ContainerDied) -> Done:
        for slot, placement in self._placed():
            if names.container(slot, placement.operation_id) == message.container:
                service = committed.service(self._parts.view, slot.service)
                if service is not None:
                    await self._restarts.exited(slot, message.container, message.exit_code, service.restart)
        return Done()

    async def _restart(self, slot: SlotRef, name: str, reason: str) -> None:
        """Behind the gate, and only what the facts still place here."""
        placement = self._placement(slot)
        if placement is None or names.container(slot, placement.operation_id) != name or self._closed_by(slot.service):
            return
        await self._mount_all(slot.service, placement.operation_id)
        await self._parts.docker.start(name)
        await self._record(slot, ContainerRestarted(slot, name, reason), placement.operation_id)

    # ------------------------------------------------------------ looking

    @handles(ShowWorkload, concurrent=True)
    async def show(self, message: ShowWorkload) -> WorkloadState:  # noqa: ARG002 - it has nothing to say but "now"
        return WorkloadState(
            machine=self._parts.me,
            namespace=self._namespace,
            slots=tuple(
                SlotState(
                    service=slot.service.service,
                    slot=slot.slot,
                    container=each.name,
                    running=each.running,
                    exit_code=each.exit_code,
                    fenced_by=self._closed_by(slot.service),
                )
                for slot, each in await self._found()
            ),
        )

    @handles(ReadLogs, concurrent=True)
    async def logs(self, message: ReadLogs) -> LogText:
        slot = self._slot(message.service, message.slot)
        placement = self._placement(slot)
        if placement is None:
            raise Refused(Code.UNKNOWN_SERVICE, f"{slot} is not on {self._parts.me}")
        return LogText(await self._parts.docker.logs(names.container(slot, placement.operation_id), tail=message.tail))

    # ------------------------------------------------------------ small parts

    def _placed(self) -> list[tuple[SlotRef, SlotPlacement]]:
        state = self._parts.view.placement.namespace(self._namespace)
        return [
            (self._slot(each.service, each.slot), each)
            for _, each in (sorted(state.slots.items()) if state else ())
            if each.machine == self._parts.me
        ]

    def _placement(self, slot: SlotRef) -> SlotPlacement | None:
        return next((placement for ref, placement in self._placed() if ref == slot), None)

    def _is_elsewhere(self, slot: SlotRef) -> bool:
        """By the facts, another machine has it: what runs of it here is a candidate, on a lease."""
        state = self._parts.view.placement.namespace(self._namespace)
        placement = state.slots.get((slot.service.service, slot.slot)) if state else None
        return placement is not None and placement.machine != self._parts.me

    async def _found(self, service: ServiceRef | None = None) -> list[tuple[SlotRef, Container]]:
        labels = names.service_labels(service) if service else {names.LABEL_NAMESPACE: self._namespace}
        return [
            (self._slot(ServiceName(each.labels[names.LABEL_SERVICE]), SlotName(each.labels[names.LABEL_SLOT])), each)
            for each in await self._parts.docker.containers(labels)
        ]

    def _spec(self, manifest: Manifest, placement: SlotPlacement) -> ContainerSpec:
        return container_spec(manifest, placement, mountpoint=self._parts.mountpoint)

    async def _remove(self, slot: SlotRef, name: str) -> None:
        self._restarts.expect_exit(name)
        await self._parts.docker.remove(name)
        await self._parts.journal.record(self._stream(slot.service.service), ContainerRemoved(slot, name))

    async def _mount_all(self, service: ServiceRef, operation_id: OperationId) -> None:
        for volume in self._volumes(service):
            await self._mount(volume, operation_id)

    def _volumes(self, service: ServiceRef) -> Iterable[VolumeRef]:
        manifest = committed.of_namespace(self._parts.view, self._namespace)
        return volumes_of(manifest, service.service) if manifest else ()

    async def _mount(self, volume: VolumeRef, operation_id: OperationId) -> None:
        await self.system.ref(f"volume/{volume}").ask(MountVolume(operation_id), timeout_s=EFFECT_TIMEOUT_S)

    async def _unmount(self, volume: VolumeRef, operation_id: OperationId) -> None:
        await self.system.ref(f"volume/{volume}").ask(UnmountVolume(operation_id), timeout_s=EFFECT_TIMEOUT_S)

    async def _claim(self, claim: ClaimAddress) -> None:
        await self.system.ref("routing").ask(claim, timeout_s=ASK_TIMEOUT_S)

    async def _record(
        self,
        slot: SlotRef,
        event: ContainerReady | ContainerStarted | ContainerStopped | ContainerRestarted,
        operation_id: OperationId,
    ) -> None:
        await self._parts.journal.record(self._stream(slot.service.service), event, operation_id=operation_id)

    def _slot(self, service: ServiceName, slot: SlotName) -> SlotRef:
        return SlotRef(ServiceRef(self._namespace, service), slot)

    def _stream(self, service: ServiceName) -> str:
        return f"service/{self._namespace}/{service}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
