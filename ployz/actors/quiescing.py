"""The services that leave one machine, told before and after each snapshot of their volumes, by their own hooks.

A hook makes a snapshot better, or the cut-over shorter; it never makes it right: what counts is taken when the service
has stopped. So a warm round goes on without it. Before the stop its failure ends the operation, while nothing is lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from attrs import define, field

from ployz.actors.messages.workload import RunHooks
from ployz.actors.work import Work
from ployz.config import ASK_TIMEOUT_S
from ployz.errors import Code, Failed, PloyzError
from ployz.plan.effects import Quiesce
from ployz.plan.hooks import Moment


@define
class Quiescing:
    work: Work
    effect: Quiesce | None
    """None: nothing that leaves declares a hook."""
    _told: bool = field(default=False, init=False)
    """They were told of the last snapshot, which is still to come."""

    @asynccontextmanager
    async def around(self, number: int) -> AsyncIterator[None]:
        """A snapshot while they run."""
        await self._tell_warnings(Moment.BEFORE, number)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._tell_warnings(Moment.AFTER, number)

    async def before_stop(self, number: int) -> None:
        """`Failed` (HOOK_FAILED): then nothing was stopped."""
        self._told = True
        problems = await self._run(Moment.BEFORE, number)
        if problems:
            raise Failed(
                Code.HOOK_FAILED,
                "; ".join(problems),
                "Try its command in the container by hand; without `hooks` in the manifest the service moves all the "
                "same.",
            )

    def stops(self) -> None:
        self._told = False

    async def take_back(self, number: int) -> None:
        """They were told of a snapshot that does not come."""
        if self._told:
            self._told = False
            await self._tell_warnings(Moment.AFTER, number)

    async def _tell_warnings(self, moment: Moment, number: int) -> None:
        try:
            problems = await self._run(moment, number)
        except PloyzError as error:
            problems = (error.problem.text,)
        for problem in problems:
            self.work.story.tell(f"{problem}; the round goes on without it")

    async def _run(self, moment: Moment, number: int) -> tuple[str, ...]:
        calls = self.effect.calls(moment) if self.effect else ()
        if self.effect is None or not calls:
            return ()
        message = RunHooks(self.work.operation_id, self.work.position, moment, number, calls)
        limit_s = max(each.timeout_s for each in calls) + ASK_TIMEOUT_S
        ran = await self.work.workload(self.effect.source).ask(message, timeout_s=limit_s)
        return ran.problems
