"""The coordinator's side of a hold: every gateway is asked, before anything stops, to let requests wait.

What waits for a cut-over goes on by the decision, and nobody needs to say so. What waits for a slot that is replaced
where it is goes on as soon as that is ready, by the coordinator's word; without it, by the decision too.

A gateway that does not answer delays the cut-over by no more than `HOLD_ANSWER_S`. Its clients may see errors then, and
the operator hears of it; it sends nothing to a wrong place, since its routes name none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from ployz.actors.messages.gateway import AwaitDrained, AwaitReleased, HoldRoutes, LetGo
from ployz.actors.together import together
from ployz.actors.work import Work
from ployz.config import ASK_TIMEOUT_S
from ployz.errors import PloyzError
from ployz.plan.effects import HoldTraffic
from ployz.plan.model import HoldPlan

HOLD_ANSWER_S: Final = 3.0


async def hold_traffic(work: Work, effects: tuple[HoldTraffic, ...]) -> list[HoldPlan]:
    """Returns when nothing new reaches what is about to stop, and what was running is answered, or out of time. With
    the holds that have begun.
    """
    asked = await together(*(partial(_begin, work, each.hold) for each in effects))
    begun = [hold for hold in asked if hold is not None]
    await together(*(partial(_drain, work, hold) for hold in begun))
    return begun


async def let_go(work: Work, holds: list[HoldPlan]) -> None:
    """Before the commit, when what they waited for is ready where it was. Returns when it gets requests again."""
    await together(*(partial(_let_go, work, hold) for hold in holds))


async def await_released(work: Work, holds: list[HoldPlan], released: Callable[[], None]) -> None:
    """After the commit: until requests go on. The gateways let them go by themselves; this is to know when, of each."""
    await together(*(partial(_released, work, hold, released) for hold in holds))


async def _let_go(work: Work, hold: HoldPlan) -> None:
    message = LetGo(work.operation_id, work.position, hold.service, hold.slots)
    try:
        await work.home.remote(hold.gateway, "gateway").ask(message, timeout_s=HOLD_ANSWER_S)
    except PloyzError as error:
        work.story.tell(f"{hold.gateway} has not let requests to {hold.service} go yet: {error.problem.text}")


async def _released(work: Work, hold: HoldPlan, released: Callable[[], None]) -> None:
    message = AwaitReleased(work.operation_id, hold.service, round(HOLD_ANSWER_S * 1000))
    try:
        await work.home.remote(hold.gateway, "gateway").ask(message, timeout_s=HOLD_ANSWER_S + ASK_TIMEOUT_S)
    except PloyzError as error:
        work.story.tell(f"{hold.gateway} has not let requests to {hold.service} go yet: {error.problem.text}")
    else:
        released()


async def _begin(work: Work, hold: HoldPlan) -> HoldPlan | None:
    """The hold, if there is something to wait for."""
    message = HoldRoutes(work.operation_id, work.position, hold.service, hold.slots, hold.hold_ms)
    try:
        begun = await work.home.remote(hold.gateway, "gateway").ask(message, timeout_s=HOLD_ANSWER_S)
    except PloyzError as error:
        work.story.tell(
            f"{hold.gateway} does not hold requests to {hold.service}, and clients there may see errors: "
            f"{error.problem.text}"
        )
        return None
    if not begun.holds:
        return None
    work.story.tell(f"{hold.gateway} holds new requests to {hold.service}; {begun.running} are running")
    return hold


async def _drain(work: Work, hold: HoldPlan) -> None:
    message = AwaitDrained(hold.service, hold.slots, hold.grace_ms)
    try:
        drained = await work.home.remote(hold.gateway, "gateway").ask(
            message, timeout_s=hold.grace_ms / 1000 + HOLD_ANSWER_S
        )
    except PloyzError:
        return  # what runs there ends with the service
    if drained.running:
        work.story.tell(f"{hold.gateway}: {drained.running} requests to {hold.service} were not answered in time")
