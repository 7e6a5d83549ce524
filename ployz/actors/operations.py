"""The operations actor: takes what operators ask for, plans it, and lets an operation actor of its own carry it out.

It also resolves what others left behind: an operation whose lock has lapsed is decided by abort-or-read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import anyio
from attrs import evolve

from ployz.actors.abandoned import end_own_operations
from ployz.actors.coordinator import FINISHED_STEP, Order, check_blockers
from ployz.actors.core import Actor, handles
from ployz.actors.messages.operations import (
    AbortedNow,
    AbortOperation,
    Accepted,
    ApplyDeparture,
    ApplyDeploy,
    ApplyMigration,
    AskPhase,
    DeployDetail,
    DeployList,
    DeployRow,
    ListDeploys,
    ListOperations,
    OperationList,
    OperationRow,
    PhaseNow,
    PhaseText,
    PreviewDeploy,
    Previewed,
    PreviewMigration,
    RemoveService,
    Rendered,
    RenderMigration,
    Resumed,
    ResumeOperation,
    ShowDeploy,
    WatchOperation,
    WatchPage,
)
from ployz.actors.operation import OperationActor
from ployz.actors.parts import Parts
from ployz.actors.past import operation_of
from ployz.actors.resuming import finish, order_of
from ployz.actors.story import Story
from ployz.actors.survey import survey
from ployz.actors.together import together
from ployz.actors.undecided import Undecided
from ployz.actors.work import catch_up
from ployz.config import ASK_TIMEOUT_S, EFFECT_TIMEOUT_S, PROBE_TIMEOUT_S, UNDECIDED_LOOK_S
from ployz.errors import Code, PloyzError, Refused, Unreachable
from ployz.events.types import OperationFinished, OperationKind
from ployz.facts import keys
from ployz.facts.lock import refusal
from ployz.ids import OperationId
from ployz.manifest import Manifest, parse, to_toml
from ployz.plan.drain import manifest_of
from ployz.plan.effects import phases
from ployz.plan.migrate import render, without_service
from ployz.plan.model import Plan
from ployz.plan.removal import require_consent
from ployz.projections.operations import Operation, Status
from ployz.wire.message import Peer, is_trusted

WATCH_MAX_S = 30.0
RETRY_S = 1.0
FIND_S = 5.0
"""How long an operation that no fact names yet is waited for: another machine may be about to start it."""
STORIES_MAX = 100
"""Ended operations whose story can still be watched."""

T = TypeVar("T")

_log = logging.getLogger("ployz.operations")


class OperationsActor(Actor):
    """`operations`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stories: dict[OperationId, Story] = {}

    async def started(self) -> None:
        self._undecided = Undecided(self._parts, self.system)

    # ------------------------------------------------------------ planning

    @handles(PreviewDeploy, concurrent=True)
    async def preview_deploy(self, message: PreviewDeploy) -> Previewed:
        return await self._preview(await self._read(message.text))

    @handles(PreviewMigration, concurrent=True)
    async def preview_migration(self, message: PreviewMigration) -> Previewed:
        return await self._preview(self._rendered(message))

    @handles(RenderMigration, concurrent=True)
    async def render_migration(self, message: RenderMigration) -> Rendered:
        return Rendered(to_toml(self._rendered(message)))

    def _rendered(self, message: PreviewMigration | RenderMigration | ApplyMigration) -> Manifest:
        return render(
            self._parts.view,
            message.service,
            message.to_machine,
            verify=message.verify,
            bandwidth_bytes_s=message.bandwidth_bytes_s,
            max_cutover_s=message.max_cutover_s,
        )

    async def _read(self, text: str) -> Manifest:
        return await self._aside(partial(parse, text))

    async def _aside(self, work: Callable[[], T]) -> T:
        return await self._parts.aside.run(work, for_stranger=not is_trusted(self.sender))

    async def _preview(self, manifest: Manifest) -> Previewed:
        plan = await self._behind_lock(await self._plan(manifest))
        words = await self._aside(lambda: phases(plan).in_words())
        return Previewed(plan, tuple(PhaseText(phase, tuple(effects)) for phase, effects in words))

    async def _plan(self, manifest: Manifest) -> Plan:
        return (await survey(self._parts, self.system, _kind(manifest), manifest, self.sender)).plan

    async def _behind_lock(self, plan: Plan) -> Plan:
        """While another operation works on the namespace, that alone stands in the way: what else seems to, like a
        half-received dataset, is its doing, and nobody may be told to destroy it.
        """
        try:
            lock = await keys.lock(plan.namespace).read(self._parts.facts)
        except PloyzError as error:
            return evolve(plan, blockers=plan.blockers or (error.problem,))
        return plan if lock is None else evolve(plan, blockers=(refusal(plan.namespace, lock.value).problem,))

    # ------------------------------------------------------------ applying

    @handles(ApplyDeploy, concurrent=True)
    async def apply_deploy(self, message: ApplyDeploy) -> Accepted:
        manifest = await self._read(message.text)
        moved = ", ".join(f"{move.service} to {move.to_machine}" for move in manifest.intent.services)
        purpose = f"migrate {manifest.namespace}/{moved}" if moved else f"deploy {manifest.namespace}"
        return await self._apply(manifest, purpose, message.operation_id, may_remove=message.remove)

    @handles(ApplyMigration, concurrent=True)
    async def apply_migration(self, message: ApplyMigration) -> Accepted:
        purpose = f"migrate {message.service} to {message.to_machine}"
        return await self._apply(self._rendered(message), purpose, message.operation_id)

    @handles(ApplyDeparture, concurrent=True)
    async def apply_departure(self, message: ApplyDeparture) -> Accepted:
        manifest = manifest_of(self._parts.view, message.machine, message.departure)
        purpose = f"drain {message.machine} of {message.departure.subject}"
        return await self._apply(manifest, purpose, message.operation_id)

    @handles(RemoveService, concurrent=True)
    async def remove_service(self, message: RemoveService) -> Accepted:
        manifest = without_service(self._parts.view, message.service)
        return await self._apply(manifest, f"remove {message.service}", message.operation_id)

    async def _apply(
        self, manifest: Manifest, purpose: str, chosen: OperationId | None = None, *, may_remove: bool = True
    ) -> Accepted:
        plan = await self._plan(manifest)
        check_blockers(await self._behind_lock(plan) if plan.blockers else plan)
        if not may_remove:
            require_consent(plan)
        operation_id = chosen or self._parts.new_operation_id()
        order = Order(plan, manifest, purpose, self.sender)
        story = Story(self._parts.clock)
        self._stories[operation_id] = story
        self._forget_old_stories()
        self.spawn(operation_id, lambda: OperationActor(self._parts, operation_id, order, story))
        return Accepted(operation_id)

    def _forget_old_stories(self) -> None:
        ended = [operation_id for operation_id, story in self._stories.items() if story.result is not None]
        for operation_id in ended[:-STORIES_MAX]:
            del self._stories[operation_id]

    # ------------------------------------------------------------ watching and history

    @handles(WatchOperation, concurrent=True)
    async def watch(self, message: WatchOperation) -> WatchPage:
        story = self._stories.get(message.operation_id)
        if story is None:
            return await self._watch_elsewhere(message)
        progress = await story.after(message.after, min(message.wait_s, WATCH_MAX_S))
        return WatchPage(tuple(progress), story.result)

    async def _watch_elsewhere(self, message: WatchOperation) -> WatchPage:
        """At its coordinator. Where nobody knows its progress, this says what the facts know."""
        operation = await self._find_soon(message.operation_id)
        here = operation.coordinator == self._parts.me or isinstance(self.sender, Peer)
        try:
            if not here:
                coordinator = self.system.remote(operation.coordinator, "operations")
                return await coordinator.ask(message, timeout_s=min(message.wait_s, WATCH_MAX_S) + ASK_TIMEOUT_S)
        except (Unreachable, Refused):
            operation = await self._find(message.operation_id)  # it may have been decided meanwhile
        now = "" if here else await self._undecided.words(operation)
        raise Refused(
            Code.NOT_HERE,
            f"{operation.operation_id} is {operation.status}; its progress is known to its coordinator "
            f"{operation.coordinator} only, as long as that runs" + (f". {now}" if now else ""),
            f"ployzctl operation show {operation.operation_id}",
        )

    async def _find_soon(self, operation_id: OperationId) -> Operation:
        with anyio.move_on_after(FIND_S):
            while self._parts.view.operations.status(operation_id) is None:
                await self._parts.next_change()
        return await self._find(operation_id)

    @handles(AskPhase, concurrent=True)
    async def phase(self, message: AskPhase) -> PhaseNow:
        story = self._stories.get(message.operation_id)
        return PhaseNow(story.phase if story is not None and story.result is None else "")

    @handles(ListOperations, concurrent=True)
    async def list_operations(self, message: ListOperations) -> OperationList:
        known = self._parts.view.operations.all.values()
        newest = sorted(known, key=lambda each: (each.status is Status.UNDECIDED, each.operation_id), reverse=True)
        newest = newest[: message.limit]
        phases_now = await together(*(partial(self._undecided.phase, each) for each in newest))
        rows = zip(newest, phases_now, strict=True)
        return OperationList(tuple(OperationRow(_row(operation), phase) for operation, phase in rows))

    @handles(ListDeploys, concurrent=True)
    async def list(self, message: ListDeploys) -> DeployList:
        newest = list(self._parts.view.operations.all.values())[::-1][: message.limit]
        return DeployList(tuple(_row(operation) for operation in newest))

    @handles(ShowDeploy, concurrent=True)
    async def show(self, message: ShowDeploy) -> DeployDetail:
        operation = await self._find(message.operation_id)
        if operation.coordinator != self._parts.me and not isinstance(self.sender, Peer):
            coordinator = self.system.remote(operation.coordinator, "operations")
            with suppress(Unreachable, Refused):  # then by what is known here
                theirs = await coordinator.ask(message, timeout_s=PROBE_TIMEOUT_S)
                return evolve(theirs, row=_row(operation))  # with this machine's times, as every list here has them
        finished = await self._finished(message.operation_id)
        return DeployDetail(
            row=_row(operation),
            participants=operation.participants,
            evidence=operation.evidence,
            cutover_ms=finished.cutover_ms if finished else 0,
            cutover=finished.cutover if finished else None,
            now=await self._undecided.words(operation),
        )

    async def _finished(self, operation_id: OperationId) -> OperationFinished | None:
        """How it ended for its coordinator, if that is this machine."""
        record = await self._parts.log.find(operation_id, FINISHED_STEP)
        return record.event if record is not None and isinstance(record.event, OperationFinished) else None

    async def _find(self, operation_id: OperationId) -> Operation:
        operation = await operation_of(self._parts, operation_id)
        if operation is None:
            raise Refused(Code.UNKNOWN_DEPLOY, f"there is no operation {operation_id}", "ployzctl operation ls")
        return operation

    # ------------------------------------------------------------ resolving what was left behind

    async def run(self) -> None:
        """A coordinator that died leaves nobody down: when its lock is free, a participant decides."""
        ended_own = False
        while True:
            ended_own = ended_own or await self._end_own()
            for operation in self._parts.view.operations.undecided():
                if self._parts.me in operation.participants and not self._runs_here(operation.operation_id):
                    await self._undecided.resolve(operation)
            await anyio.sleep(UNDECIDED_LOOK_S if ended_own else RETRY_S)
            while ended_own and not self._parts.view.operations.undecided():
                await self._parts.next_change()

    async def _end_own(self) -> bool:
        try:
            await end_own_operations(self._parts, self._runs_here)
        except PloyzError as error:
            _log.warning("what was left behind here cannot be ended yet: %s", error)
            return False
        return True

    def _runs_here(self, operation_id: OperationId) -> bool:
        story = self._stories.get(operation_id)
        return story is not None and story.result is None

    # ------------------------------------------------------------ ending and beginning again

    @handles(AbortOperation, concurrent=True)
    async def abort(self, message: AbortOperation) -> AbortedNow:
        await catch_up(self._parts)
        operation = await self._find(message.operation_id)
        return AbortedNow(_row(await self._undecided.abort(operation, f"{self.sender} on {self._parts.me}")))

    @handles(ResumeOperation, concurrent=True)
    async def resume(self, message: ResumeOperation) -> Resumed:
        await catch_up(self._parts)
        operation = await self._find(message.operation_id)
        if operation.status is Status.COMMITTED:
            await finish(self._parts, self.system, operation)
            return Resumed(_row(operation), None, None)
        if operation.coordinator != self._parts.me:
            return await self._resume_elsewhere(operation, message)
        if self._runs_here(operation.operation_id):
            raise Refused(
                Code.CONFLICT,
                f"{operation.operation_id} is going on",
                f"ployzctl operation watch {operation.operation_id}",
            )
        if operation.status is Status.UNDECIDED:
            operation = await self._undecided.abort(operation, f"{self.sender}, to begin it again")
        order = await order_of(self._parts, operation)
        await self._undecided.wait_for_lock(operation)
        accepted = await self._apply(await self._read(order.manifest), order.purpose)
        return Resumed(_row(operation), accepted.operation_id, self._parts.me)

    async def _resume_elsewhere(self, operation: Operation, message: ResumeOperation) -> Resumed:
        try:
            return await self.system.remote(operation.coordinator, "operations").ask(
                message, timeout_s=EFFECT_TIMEOUT_S
            )
        except Unreachable as error:
            raise Unreachable(
                error.code,
                f"only its coordinator {operation.coordinator} knows what {operation.operation_id} was asked to do: "
                + error.problem.text,
                f"Abort it (`ployzctl operation abort {operation.operation_id}`), and give the command again.",
            ) from error


def _kind(manifest: Manifest) -> OperationKind:
    return OperationKind.MIGRATE if manifest.intent.moves else OperationKind.DEPLOY


def _row(operation: Operation) -> DeployRow:
    return DeployRow(
        operation_id=operation.operation_id,
        kind=operation.kind,
        namespace=operation.namespace,
        coordinator=operation.coordinator,
        status=operation.status,
        started_ms=operation.started_ms,
        decided_ms=operation.decided_ms,
        position=operation.position,
        reason=operation.reason,
    )
