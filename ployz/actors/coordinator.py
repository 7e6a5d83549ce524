"""The coordinator: one operation from its lock to its result.

Lock, plan again, start, perform, commit, follow, clean up. Whatever fails before the commit is undone here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from ployz.actors import ending
from ployz.actors.core import Home
from ployz.actors.measuring import Measuring, ms_since
from ployz.actors.messages.operations import Result
from ployz.actors.parts import Parts
from ployz.actors.performer import Performer
from ployz.actors.story import Story
from ployz.actors.survey import Survey, survey
from ployz.actors.together import together
from ployz.actors.work import Work, catch_up
from ployz.errors import Code, Failed, PloyzError, Problem, Refused
from ployz.events.types import OperationFinished, OperationOrdered, OperationStarted
from ployz.facts.conflicts import accepted
from ployz.facts.keys import LockHolder
from ployz.facts.lock import NamespaceLock, hold
from ployz.facts.transactions import start_operation
from ployz.ids import OperationId
from ployz.manifest import Manifest, manifest_hash, to_canonical_json
from ployz.plan.effects import Phase
from ployz.plan.model import Plan, differences
from ployz.plan.removal import uncovered_words
from ployz.plan.reports import MachineReport
from ployz.projections.operations import Status
from ployz.wire.message import Sender

ORDER_STEP: Final = "order"
FINISHED_STEP: Final = "finished"


@frozen
class Order:
    """What an operator asked for."""

    plan: Plan
    """As it was when they asked: what the plan under the lock is compared with."""
    manifest: Manifest
    """With its intent."""
    purpose: str
    """`migrate production/db to machine-b`: what everybody is told who finds the namespace locked."""
    operator: Sender


@define
class Coordinator:
    parts: Parts
    home: Home
    operation_id: OperationId
    order: Order
    story: Story
    _performer: Performer | None = field(default=None, init=False)
    _committed_at: int = field(default=0, init=False)
    """0: it is not committed."""

    async def run(self) -> None:
        """Always ends with a result in the story; a bug is raised after that."""
        began_s = anyio.current_time()
        problem: PloyzError | None = None
        try:
            await self._run_locked()
        except PloyzError as error:
            problem = error if self._performer else self._before_it_began(error)
        except Exception as error:
            self._end(Failed(Code.BUG, f"{type(error).__name__}: {error}"), began_s)
            raise
        result = self._end(problem, began_s)
        await self._record(result)

    async def _run_locked(self) -> None:
        namespace = self.order.plan.namespace
        holder = LockHolder(
            machine=self.parts.me,
            operation_id=self.operation_id,
            purpose=self.order.purpose,
            since_ms=self.parts.clock.wall_ms(),
            operator=str(self.order.operator),
        )
        self.story.enter(Phase.LOCK, f"lock {namespace}")
        async with hold(self.parts.facts, self.parts.clock, namespace, holder) as lock:
            found = await self._plan_again()
            for waiting in found.plan.waiting:
                self.story.tell(f"waits: {waiting}")
            if found.plan.changes_nothing and not self._manifest_changed(found.plan):
                self.story.tell("nothing to change")
                return
            for words in uncovered_words(found.plan):
                self.story.tell(words)
            work = await self._start(lock, found)
            self._performer = Performer(work)
            try:
                await self._unless_aborted(partial(self._perform, self._performer, lock))
                self._committed_at = await self._commit(work, self._performer, lock)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is undone before anybody hears of it
                self._committed_at = await ending.undo(work, self._performer, _problem(error))
            measuring = self._performer.measuring
            follow = partial(ending.follow, work, self._committed_at, measuring)
            lagging, _ = await together(follow, self._performer.released)
            measuring.end()
            await ending.clean_up(work, self._committed_at, lagging)

    async def _plan_again(self) -> Survey:
        """Under the lock nothing of the namespace changes any more: what this plan says is what is done."""
        await catch_up(self.parts)
        found = await survey(self.parts, self.home, self.order.plan.kind, self.order.manifest)
        changed = differences(self.order.plan, found.plan)
        if changed:
            raise Refused(
                Code.PLAN_STALE,
                "the plan is not the one that was made before the lock: " + "; ".join(changed),
                "Preview it again, and apply that.",
            )
        check_blockers(found.plan)
        return found

    def _manifest_changed(self, plan: Plan) -> bool:
        state = self.parts.view.placement.namespace(plan.namespace)
        return state is None or state.manifest != plan.manifest

    async def _start(self, lock: NamespaceLock, found: Survey) -> Work:
        started = OperationStarted(
            operation_id=self.operation_id,
            kind=found.plan.kind,
            namespace=found.plan.namespace,
            coordinator=self.parts.me,
            participants=found.plan.participants,
            lock_token=lock.token,
            manifest_hash=manifest_hash(self.order.manifest),
        )
        await self.parts.journal.record(
            f"operation/{self.operation_id}",
            OperationOrdered(self.order.purpose, to_canonical_json(self.order.manifest)),
            operation_id=self.operation_id,
            step=ORDER_STEP,
        )
        position = accepted(await self.parts.facts.transact(start_operation(started))).position
        reports = {each.machine: each for each in found.reports.values() if isinstance(each, MachineReport)}
        return Work(self.parts, self.home, self.story, self.operation_id, found.plan, reports, position)

    async def _unless_aborted(self, perform: Callable[[], Awaitable[None]]) -> None:
        """Somebody else's abort ends it in the middle of whatever it waits for. A commit would be refused anyway:
        this is so that nothing goes on for hours of which the end is known. `Failed` (DECIDED), or LOCK_LOST.
        """
        performed = anyio.Event()

        async def perform_all() -> None:
            await perform()
            performed.set()

        async def watch() -> None:
            while not performed.is_set():
                operation = self.parts.view.operations.get(self.operation_id)
                if operation is not None and operation.status is Status.ABORTED:
                    raise Failed(Code.DECIDED, f"it was aborted by {operation.reason}")
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_then_cancel, performed.wait, tasks)
                    tasks.start_soon(_then_cancel, self.parts.next_change, tasks)

        await together(perform_all, watch)

    async def _perform(self, performer: Performer, lock: NamespaceLock) -> None:
        for phase in (
            performer.prepare,
            performer.precopy,
            performer.start_in_place,
            performer.open_last_round,
            performer.look_again,
            performer.quiesce,
            performer.hold,
            performer.cut_over,
        ):
            lock.check()
            await phase()
        lock.check()

    async def _commit(self, work: Work, performer: Performer, lock: NamespaceLock) -> int:
        began_s = anyio.current_time()
        position = await ending.commit_plan(work, performer, lock)
        performer.measuring.committed(ms_since(began_s))
        return position

    # ------------------------------------------------------------ the end

    def _before_it_began(self, error: PloyzError) -> PloyzError:
        """An authority that was never reached was asked for nothing: that is a refusal, not an unknown outcome."""
        if error.code is not Code.MACHINE_UNREACHABLE:
            return error
        undecided = ", ".join(
            f"{each.operation_id} ({each.namespace})" for each in self.parts.view.operations.undecided()
        )
        waits = f", but what these have stopped waits for it: {undecided}." if undecided else "."
        return Refused(
            error.code,
            f"the machine that puts all changes in order does not answer, so nothing was changed: {error.problem.text}",
            f"Bring it back, then run this again. What runs goes on without it{waits}",
        )

    def _end(self, problem: PloyzError | None, began_s: float) -> Result:
        performer = self._performer
        plan = performer.work.plan if performer else self.order.plan
        measured = performer.measuring if performer else Measuring(plan, ())
        result = Result(
            exit_code=problem.exit_code if problem else 0,
            problem=problem.problem if problem else None,
            committed=self._committed_at > 0,
            position=self._committed_at,
            cutover_ms=measured.took_ms,
            predicted_cutover_ms=measured.prediction.cutover_ms,
            predicted_bytes=measured.prediction.last_bytes,
            last_bytes=measured.last_bytes,
            duration_ms=ms_since(began_s),
            parts=measured.parts,
            rounds=tuple(performer.evidence) if performer else (),
            plan=plan,
        )
        self.story.end(result)
        return result

    async def _record(self, result: Result) -> None:
        finished = OperationFinished(
            operation_id=self.operation_id,
            kind=self.order.plan.kind,
            namespace=self.order.plan.namespace,
            committed=result.committed,
            code=result.problem.code if result.problem else "",
            text=result.problem.text if result.problem else "",
            cutover_ms=result.cutover_ms,
            duration_ms=result.duration_ms,
            cutover=self._performer.measuring.cutover if self._performer and result.committed else None,
        )
        await self.parts.journal.record(
            f"operation/{self.operation_id}", finished, operation_id=self.operation_id, step=FINISHED_STEP
        )


def check_blockers(plan: Plan) -> None:
    """`Refused` with the one blocker there is, or BLOCKED with all of them."""
    if not plan.blockers:
        return
    if len(plan.blockers) == 1:
        (blocker,) = plan.blockers
        raise Refused(blocker.code, blocker.text, blocker.advice)
    lines = "".join(f"\n  [{each.code}]: {each.text}" for each in plan.blockers)
    advice = " ".join(dict.fromkeys(each.advice for each in plan.blockers if each.advice))
    raise Refused(Code.BLOCKED, f"{len(plan.blockers)} things stand in the way:{lines}", advice)


async def _then_cancel(wait: Callable[[], Awaitable[object]], tasks: TaskGroup) -> None:
    await wait()
    tasks.cancel_scope.cancel()


def _problem(error: Exception) -> Problem:
    return error.problem if isinstance(error, PloyzError) else Problem(Code.BUG, f"{type(error).__name__}: {error}")
