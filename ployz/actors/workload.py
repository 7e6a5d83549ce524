"""The workload actor: one namespace on one machine. Its handlers; what they do is in containers, gate, departing,
settling and candidates.
"""

from __future__ import annotations

from functools import partial

import anyio
from anyio.abc import TaskGroup

from ployz.actors.candidates import CandidateLease
from ployz.actors.containers import Containers, record_removed
from ployz.actors.core import Actor, handles
from ployz.actors.departing import Departure
from ployz.actors.fetching import Fetching
from ployz.actors.gate import Gate
from ployz.actors.health import HealthWatch
from ployz.actors.hooks import Hooks
from ployz.actors.messages.images import FetchImage
from ployz.actors.messages.routing import ClaimAddress, ReserveAddress
from ployz.actors.messages.workload import (
    CastVote,
    ContainerDied,
    CreateCandidate,
    Fence,
    FencedReport,
    HooksRan,
    KeepImages,
    LogText,
    LookNow,
    ReadLogs,
    ReadyReport,
    RecheckCandidate,
    Reconnect,
    RunHooks,
    Settle,
    ShowWorkload,
    SlotState,
    StartCandidate,
    WorkloadState,
)
from ployz.actors.parts import Parts
from ployz.actors.settling import Settling
from ployz.actors.together import together
from ployz.actors.waiting import wait_until_ready
from ployz.config import ASK_TIMEOUT_S, EFFECT_TIMEOUT_S
from ployz.errors import Code, Failed, Refused
from ployz.events.types import (
    ContainerCreated,
    ContainerFinished,
    ContainerReady,
    ContainerRestarted,
    ContainerStopped,
    SlotPlacement,
)
from ployz.host.ports import Container
from ployz.ids import Namespace, OperationId, SlotRef
from ployz.plan import committed, names
from ployz.plan.container import service_of, volumes_of
from ployz.projections.operations import Status
from ployz.wire.message import Done


class WorkloadActor(Actor):
    """`workload/NAMESPACE`."""

    _beside: TaskGroup

    def __init__(self, parts: Parts, namespace: Namespace) -> None:
        self._parts = parts
        self._namespace = namespace

    async def started(self) -> None:
        parts, home = self._parts, self.system
        self._containers = Containers(parts, home, self._namespace, self._restart)
        self._gate = Gate(parts, home, self._namespace)
        self._departure = Departure(parts, home, self._containers, self._gate)
        self._hooks = Hooks(parts, self._containers)
        self._fetching = Fetching(parts, home, self._namespace)
        self._settling = Settling(parts, home, self._containers, self._gate, self._fetching)
        self._health = HealthWatch(parts, self._containers, self._gate, self._stop_unready)
        self._lease = CandidateLease(parts, self._containers.remove)
        self._is_beside = anyio.Event()

    async def run(self) -> None:
        async with anyio.create_task_group() as self._beside:
            self._beside.start_soon(self._containers.restarts.run)
            self._beside.start_soon(self._lease.run)
            self._beside.start_soon(self._fetching.run)
            self._beside.start_soon(self._health.run)
            self._is_beside.set()

    # ------------------------------------------------------------ a candidate

    @handles(CreateCandidate)
    async def create(self, message: CreateCandidate) -> Done:
        await self._parts.in_operation(message.operation_id, message.position)
        slot = self._containers.slot(message.candidate.service, message.candidate.slot)
        await self.system.ref("workloads").ask(LookNow(), timeout_s=EFFECT_TIMEOUT_S)
        stream = self._containers.stream(message.candidate.service)
        name, ended = names.container(slot, message.operation_id), message.candidate.ended
        if ended is not None and self._parts.local.finished(name) is None:
            await self._containers.record(slot, ContainerFinished(slot, name, ended), message.operation_id)
        await self._parts.journal.perform(
            message.operation_id, names.step("create", slot), stream, name, lambda: self._made(slot, message)
        )
        return Done()

    @handles(RecheckCandidate)
    async def recheck(self, message: RecheckCandidate) -> Done:
        await self._parts.in_operation(message.operation_id, message.position)
        await self.system.ref("workloads").ask(LookNow(), timeout_s=EFFECT_TIMEOUT_S)
        slot = self._containers.slot(message.candidate.service, message.candidate.slot)
        created = await self._made(slot, message)
        if created.container not in (await self._parts.docker.census()).containers:
            raise Failed(Code.CONFLICT, f"{created.container} was made again, and is gone: somebody removes it")
        return Done()

    @handles(KeepImages)
    async def keep_images(self, message: KeepImages) -> Done:
        """`Failed` (IMAGE_MISSING): one was pruned from under what runs of it, and is being fetched. Nothing stops."""
        await self._parts.in_operation(message.operation_id, message.position)
        for slot, each in await self._containers.found():
            service = committed.service(self._parts.view, slot.service)
            if slot in message.slots and service is not None:
                await self._fetching.require(FetchImage(slot.service, service.template.image, each.image_id))
        await self._containers.keep_images(message.slots, message.operation_id)
        return Done()

    async def _made(self, slot: SlotRef, message: CreateCandidate | RecheckCandidate) -> ContainerCreated:
        """There already is made."""
        manifest = committed.from_fact(message.manifest)
        spec = self._containers.spec(manifest, self._placement(message))
        created = await self._containers.create(manifest, slot, spec)
        if self._containers.is_elsewhere(slot) and message.candidate.ended is None:
            await self._make_network(message, slot, spec.name)
        return created

    def _placement(self, message: CreateCandidate | RecheckCandidate) -> SlotPlacement:
        candidate = message.candidate
        return SlotPlacement(
            service=candidate.service,
            slot=candidate.slot,
            machine=self._parts.me,
            ipv6=candidate.ipv6,
            ipv4=candidate.ipv4,
            image_id=candidate.image_id,
            template_hash=candidate.template_hash,
            operation_id=message.operation_id,
        )

    async def _make_network(self, message: CreateCandidate | RecheckCandidate, slot: SlotRef, name: str) -> None:
        """Most of what a start takes, while the service runs elsewhere. Hidden: that one answers until the claim."""
        for each_slot, each in await self._containers.found(slot.service):
            ended = self._parts.view.operations.status(OperationId(each.labels[names.LABEL_OPERATION]))
            if each_slot == slot and ended is Status.ABORTED:
                await self._containers.remove(slot, each.name)  # not settled yet, and it has the address
        reserve = ReserveAddress(message.operation_id, slot.service, message.candidate)
        await self.system.ref("routing").ask(reserve, timeout_s=ASK_TIMEOUT_S)
        await self._parts.docker.prepare(name)
        self._parts.bridge_changed()

    @handles(StartCandidate)
    async def start(self, message: StartCandidate) -> ReadyReport:
        await self._parts.in_operation(message.operation_id, message.position)
        await self._departure.finish()
        candidate = message.candidate
        slot = self._containers.slot(candidate.service, candidate.slot)
        self._gate.check(slot.service, but=message.operation_id)
        manifest = committed.from_fact(message.manifest)
        name = names.container(slot, message.operation_id)
        await self._stop_others(slot, name, message.operation_id)
        began_s = anyio.current_time()
        volumes = volumes_of(manifest, candidate.service)
        await together(
            partial(self._claim, ClaimAddress(message.operation_id, slot.service, candidate)),
            *(partial(self._containers.mount, volume, message.operation_id) for volume in volumes),
            *(
                [partial(self._lease.take, message.operation_id, slot, name)]
                if self._containers.is_elsewhere(slot) or any(map(self._containers.is_volume_elsewhere, volumes))
                else []
            ),
        )
        mounted_s = anyio.current_time()
        await self._parts.journal.perform(
            message.operation_id,
            names.step("start", slot),
            self._containers.stream(candidate.service),
            name,
            lambda: self._containers.start(slot, name, manifest),
        )
        started_s = anyio.current_time()
        service = service_of(manifest, candidate.service)
        attempts = await wait_until_ready(self._parts.docker, self._parts.looks, service, name, candidate.ipv4)
        ready_s = anyio.current_time()
        await self._containers.record(slot, ContainerReady(slot, name, attempts), message.operation_id)
        return ReadyReport(
            mount_ms=_ms(mounted_s - began_s),
            start_ms=_ms(started_s - mounted_s),
            ready_ms=_ms(ready_s - started_s),
            attempts=attempts,
        )

    async def _stop_others(self, slot: SlotRef, name: str, operation_id: OperationId) -> None:
        """The container that this one replaces where it is. It is kept, stopped, until the commit."""
        for each_slot, each in await self._containers.found(slot.service):
            if each_slot == slot and each.name != name and each.running:
                await self._containers.stop(slot, each.name, operation_id)

    async def _claim(self, claim: ClaimAddress) -> None:
        await self.system.ref("routing").ask(claim, timeout_s=ASK_TIMEOUT_S)

    # ------------------------------------------------------------ giving away, and agreeing with the facts

    @handles(RunHooks, concurrent=True)
    async def hooks(self, message: RunHooks) -> HooksRan:
        return await self._hooks.run(message)

    @handles(Fence)
    async def fence(self, message: Fence) -> FencedReport:
        await self._is_beside.wait()
        return await self._departure.fence(message, self._beside)

    @handles(CastVote)
    async def vote(self, message: CastVote) -> Done:
        await self._parts.in_operation(message.operation_id, message.position)
        await self._departure.vote(message.operation_id, message.snapshots)
        return Done()

    @handles(Settle)
    async def agree(self, message: Settle) -> Done:
        await self._parts.mirror.wait_for(message.position, ASK_TIMEOUT_S)
        await self._departure.finish()
        await self._watch_candidates()
        await self._forget_candidates()
        await self._containers.remove_left_secrets()
        await self._containers.remove_keepers()
        await self._containers.note_ended()
        await self._settling.carry_out()
        return Done()

    async def _watch_candidates(self) -> None:
        """Those that a ployzd before this one has started. What is committed is none any more."""
        await self._lease.release_committed()
        guards = self._parts.guards
        for slot, each in await self._containers.found():
            operation_id = OperationId(each.labels[names.LABEL_OPERATION])
            status = self._parts.view.operations.status(operation_id)
            if status is Status.COMMITTED:
                if not await guards.killed(each.name):
                    await guards.release(each.name)
                elif not each.running:  # else it is about to end, and Docker will say so
                    await self._killed(slot, each.name, operation_id)
            elif (
                status is Status.UNDECIDED
                and each.running
                and (self._containers.is_elsewhere(slot) or await guards.until_s(each.name) is not None)
            ):
                await self._lease.resume(operation_id, slot, each.name)

    async def _forget_candidates(self) -> None:
        """Of aborted operations, whose containers are gone though nothing here recorded it: a crash came between. And
        what is known of containers that are gone, and that nothing asks for any more.
        """
        there = {each.name for _, each in await self._containers.found()}
        local = self._parts.local
        for slot, claim in [*local.claims.items(), *local.reserved.items()]:
            name = names.container(slot, claim.operation_id)
            aborted = self._parts.view.operations.status(claim.operation_id) is Status.ABORTED
            if slot.service.namespace == self._namespace and aborted and name not in there:
                await record_removed(self._parts, slot, name)
        placed = {names.container(slot, each.operation_id) for slot, each in self._containers.placed()}
        for name in local.ended - there - placed:  # somebody else removed it
            slot, operation_id = names.slot_and_operation(name)
            is_decided = self._parts.view.operations.status(operation_id) is not Status.UNDECIDED
            if slot.service.namespace == self._namespace and is_decided:
                await record_removed(self._parts, slot, name)

    async def _killed(self, slot: SlotRef, name: str, operation_id: OperationId) -> None:
        """By its guard, and its commit had come: it did not end by itself, whatever its restart policy says of that."""
        await self._containers.record(slot, ContainerStopped(slot, name), operation_id)
        await self._parts.guards.release(name)

    # ------------------------------------------------------------ restarting

    @handles(ContainerDied)
    async def died(self, message: ContainerDied) -> Done:
        for slot, placement in self._containers.placed():
            if names.container(slot, placement.operation_id) == message.container:
                await self._ended(slot, placement.operation_id, message)
        return Done()

    async def _ended(self, slot: SlotRef, operation_id: OperationId, message: ContainerDied) -> None:
        service = committed.service(self._parts.view, slot.service)
        if service is None:
            return
        restarts = self._containers.restarts
        if await self._parts.guards.killed(message.container):
            await self._killed(slot, message.container, operation_id)
            restarts.due(slot, message.container, "its guard ended it when its commit had come")
        else:
            await restarts.exited(slot, message.container, message.exit_code, service.restart)

    async def _stop_unready(self, slot: SlotRef, name: str, why: str) -> None:
        """It is started again after its pause; if ployzd ends meanwhile, by the next one, since ployz stopped it."""
        placement = self._containers.placement(slot)
        if placement is not None:
            await self._containers.stop(slot, name, placement.operation_id)
            self._containers.restarts.due(slot, name, f"was not ready any more: {why}")

    async def _restart(self, slot: SlotRef, name: str, reason: str) -> bool:
        """Behind the gate, and only what the facts still place here."""
        placement = self._containers.placement(slot)
        if placement is None or names.container(slot, placement.operation_id) != name:
            return False
        if await self._parts.docker.inspect(name) is None:
            return False  # taken away: who looks again has it made again, and not without end
        if self._gate.closed_by(slot.service) is not None:
            return False
        await self._containers.make_whole(slot, placement)
        await self._containers.mount_all(slot.service, placement.operation_id)
        self._health.forget(name)
        await self._containers.start(slot, name)
        await self._containers.record(slot, ContainerRestarted(slot, name, reason), placement.operation_id)
        return True

    @handles(Reconnect)
    async def reconnect(self, message: Reconnect) -> Done:
        """By now it may be another's, or gone, or behind a closed gate."""
        await self._departure.finish()
        census = await self._parts.docker.census()
        for slot, placement in self._containers.placed():
            name = names.container(slot, placement.operation_id)
            is_ours = name == message.container and self._gate.closed_by(slot.service) is None
            if is_ours and name in census.cut_off:
                await self._containers.stop(slot, name, placement.operation_id)
                await self._containers.clear_network(slot, name)
                await self._settling.carry_out()
        return Done()

    # ------------------------------------------------------------ looking

    @handles(ShowWorkload, concurrent=True)
    async def show(self, message: ShowWorkload) -> WorkloadState:  # noqa: ARG002 - it has nothing to say but "now"
        """Also the slots that the facts place here and that have no container: why may be the gate."""
        found: list[tuple[SlotRef, Container | None]] = list(await self._containers.found())
        filled = {slot for slot, _ in found}
        placed = dict(self._containers.placed())
        found += [(slot, None) for slot in placed if slot not in filled]
        return WorkloadState(
            machine=self._parts.me,
            namespace=self._namespace,
            slots=tuple(self._state_of(slot, each, placed.get(slot)) for slot, each in found),
        )

    def _state_of(self, slot: SlotRef, found: Container | None, placement: SlotPlacement | None) -> SlotState:
        """What has ended stays ended, whether its container is kept or not."""
        name = found.name if found else ""
        health, restarted = self._health.of(name), self._containers.restarts.restarted(name)
        running = found is not None and found.running
        unready = running and health.ready is False
        exit_code = found.exit_code if found else None
        if not running and exit_code is None and placement is not None:
            exit_code = self._parts.local.ended_with(names.container(slot, placement.operation_id))
        return SlotState(
            service=slot.service.service,
            slot=slot.slot,
            container=name,
            running=running,
            exit_code=exit_code,
            fenced_by=self._gate.closed_by(slot.service),
            paused=found is not None and found.paused,
            unready=unready,
            why=health.why if unready else restarted.problem,
            since_ms=health.since_ms if unready else found.changed_ms if found else self._gate.closed_ms(slot.service),
            restarts=restarted.times,
            restarts_lately=restarted.within(self._parts.clock.wall_ms()),
        )

    @handles(ReadLogs, concurrent=True)
    async def logs(self, message: ReadLogs) -> LogText:
        slot = self._containers.slot(message.service, message.slot)
        placement = self._containers.placement(slot)
        if placement is None:
            raise Refused(Code.UNKNOWN_SERVICE, f"{slot} is not on {self._parts.me}")
        return LogText(await self._parts.docker.logs(names.container(slot, placement.operation_id), tail=message.tail))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
