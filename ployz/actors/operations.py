"""The operations actor: takes what operators ask for, plans it, and lets an operation actor of its own carry it out.

It also resolves what others left behind: an operation whose lock has lapsed is decided by abort-or-read.
"""

from __future__ import annotations

import logging

import anyio
from attrs import evolve

from ployz.actors.coordinator import Order, check_blockers
from ployz.actors.core import Actor, handles
from ployz.actors.messages.operations import (
    Accepted,
    ApplyDeploy,
    ApplyMigration,
    DeployDetail,
    DeployList,
    DeployRow,
    ListDeploys,
    PhaseText,
    PreviewDeploy,
    Previewed,
    PreviewMigration,
    RemoveService,
    Rendered,
    RenderMigration,
    ShowDeploy,
    WatchOperation,
    WatchPage,
)
from ployz.actors.operation import OperationActor
from ployz.actors.parts import Parts
from ployz.actors.story import Story
from ployz.actors.survey import survey
from ployz.config import UNDECIDED_LOOK_S
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import OperationAborted, OperationKind
from ployz.facts import keys
from ployz.facts.decision import abort_or_read
from ployz.facts.lock import refusal
from ployz.ids import OperationId
from ployz.manifest import Manifest, parse, to_toml
from ployz.plan.effects import phases
from ployz.plan.migrate import render, without_service
from ployz.plan.model import Plan
from ployz.projections.operations import Operation

WATCH_MAX_S = 30.0
STORIES_MAX = 100
"""Ended operations whose story can still be watched."""

_log = logging.getLogger("ployz.operations")


class OperationsActor(Actor):
    """`operations`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stories: dict[OperationId, Story] = {}

    # ------------------------------------------------------------ planning

    @handles(PreviewDeploy, concurrent=True)
    async def preview_deploy(self, message: PreviewDeploy) -> Previewed:
        return await self._preview(parse(message.text))

    @handles(PreviewMigration, concurrent=True)
    async def preview_migration(self, message: PreviewMigration) -> Previewed:
        return await self._preview(render(self._parts.view, message.service, message.to_machine))

    @handles(RenderMigration, concurrent=True)
    async def render_migration(self, message: RenderMigration) -> Rendered:
        return Rendered(to_toml(render(self._parts.view, message.service, message.to_machine)))

    async def _preview(self, manifest: Manifest) -> Previewed:
        plan = await self._behind_lock(await self._plan(manifest))
        words = tuple(PhaseText(phase, tuple(effects)) for phase, effects in phases(plan).in_words())
        return Previewed(plan, words)

    async def _plan(self, manifest: Manifest) -> Plan:
        return (await survey(self._parts, self.system, _kind(manifest), manifest)).plan

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
        manifest = parse(message.text)
        moved = ", ".join(f"{move.service} to {move.to_machine}" for move in manifest.intent.services)
        purpose = f"migrate {manifest.namespace}/{moved}" if moved else f"deploy {manifest.namespace}"
        return await self._apply(manifest, purpose)

    @handles(ApplyMigration, concurrent=True)
    async def apply_migration(self, message: ApplyMigration) -> Accepted:
        manifest = render(self._parts.view, message.service, message.to_machine)
        return await self._apply(manifest, f"migrate {message.service} to {message.to_machine}")

    @handles(RemoveService, concurrent=True)
    async def remove_service(self, message: RemoveService) -> Accepted:
        return await self._apply(without_service(self._parts.view, message.service), f"remove {message.service}")

    async def _apply(self, manifest: Manifest, purpose: str) -> Accepted:
        plan = await self._plan(manifest)
        check_blockers(await self._behind_lock(plan) if plan.blockers else plan)
        operation_id = self._parts.new_operation_id()
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
            operation = self._find(message.operation_id)
            raise Refused(
                Code.NOT_HERE,
                f"{message.operation_id} is {operation.status}; it was coordinated by {operation.coordinator}, and its "
                f"progress is not known on {self._parts.me}",
                f"ployzctl deploy show {message.operation_id}",
            )
        progress = await story.after(message.after, min(message.wait_s, WATCH_MAX_S))
        return WatchPage(tuple(progress), story.result)

    @handles(ListDeploys, concurrent=True)
    async def list(self, message: ListDeploys) -> DeployList:
        newest = list(self._parts.view.operations.all.values())[::-1][: message.limit]
        return DeployList(tuple(_row(operation) for operation in newest))

    @handles(ShowDeploy, concurrent=True)
    async def show(self, message: ShowDeploy) -> DeployDetail:
        operation = self._find(message.operation_id)
        finished = self._parts.local.finished(message.operation_id)
        return DeployDetail(
            row=_row(operation),
            participants=operation.participants,
            evidence=operation.evidence,
            cutover_ms=finished.cutover_ms if finished else 0,
        )

    def _find(self, operation_id: OperationId) -> Operation:
        operation = self._parts.view.operations.get(operation_id)
        if operation is None:
            raise Refused(Code.UNKNOWN_DEPLOY, f"there is no operation {operation_id}", "ployzctl deploy ls")
        return operation

    # ------------------------------------------------------------ resolving what was left behind

    async def run(self) -> None:
        """A coordinator that died leaves nobody down: when its lock has lapsed, a participant decides."""
        while True:
            for operation in self._parts.view.operations.undecided():
                if self._parts.me in operation.participants and not self._runs_here(operation):
                    await self._resolve(operation)
            await anyio.sleep(UNDECIDED_LOOK_S)

    def _runs_here(self, operation: Operation) -> bool:
        story = self._stories.get(operation.operation_id)
        return story is not None and story.result is None

    async def _resolve(self, operation: Operation) -> None:
        try:
            lock = await keys.lock(operation.namespace).read(self._parts.facts)
            if lock is not None and lock.revision == operation.lock_token:
                return
            decision = await abort_or_read(
                self._parts.facts,
                OperationAborted(
                    operation.operation_id,
                    operation.namespace,
                    self._parts.me,
                    f"its coordinator {operation.coordinator} lost the lock",
                ),
            )
        except PloyzError as error:
            _log.warning("%s is undecided, and cannot be resolved yet: %s", operation.operation_id, error)
        else:
            _log.warning("%s was left undecided: %s by %s", operation.operation_id, decision.verdict, decision.by)


def _kind(manifest: Manifest) -> OperationKind:
    return OperationKind.MIGRATE if manifest.intent.services else OperationKind.DEPLOY


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
