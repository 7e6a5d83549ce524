"""One run: orders are given, faults strike, and when all is quiet the cluster must come to rest by itself."""

from __future__ import annotations

from typing import Final, TypeVar

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from ployz.actors.messages.operations import (
    AbortOperation,
    Accepted,
    ApplyDeploy,
    ApplyMigration,
    Result,
    WatchOperation,
)
from ployz.errors import Code, PloyzError, Unreachable
from ployz.ids import MachineId, OperationId
from ployz.wire.message import Message
from tests.cluster.cluster import OPERATOR, Cluster
from tests.cluster.effects import Effect, Effects
from tests.cluster.manifests import DB, manifest, service, volume
from tests.cluster.network import ask_as_operator
from tests.sim.checks import answers, ends
from tests.sim.history import History
from tests.sim.orders import Abort, Deploy, Migrate, Order
from tests.sim.parting import Parting
from tests.sim.report import Report
from tests.sim.scenario import Scenario, Shape
from tests.sim.striking import Striker
from tests.sim.watch import Watch

R = TypeVar("R")

EFFECTS_MAX: Final = 30_000
"""A run that does more than this never comes to rest."""
RECOVERED_S: Final = 120.0
"""Lock, leases and every retry are over by then, counted from when the last fault was over."""
ANSWER_S: Final = 600.0
"""How long an operator waits for an answer before they go home."""
LOOK_S: Final = 3.0
CALM_S: Final = 12.0
"""How long it must stay at rest."""


class Stepped(Effects):
    """Effects that are watched, counted and struck at."""

    def __init__(self) -> None:
        super().__init__()
        self.play: Play | None = None

    async def pass_through(self, effect: Effect) -> None:
        if self.play is not None:
            await self.play.step(effect)


@define(eq=False)
class Play:
    cluster: Cluster
    scenario: Scenario
    """While several are played as one: any of them."""
    parting: Parting
    history: History = field(factory=History, init=False)
    watch: Watch = field(init=False)
    striker: Striker = field(init=False)
    results: dict[OperationId, Result] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.watch = Watch(self.cluster, self.history)
        self.striker = Striker(self.cluster, self.history)

    async def step(self, effect: Effect) -> None:
        self.history.effect(effect)
        self.watch.step(effect)
        due = self.parting.step(self, effect) if self.parting.members else self.striker.due(effect)
        if due or not self.striker.is_idle:
            await self.striker.step(due, effect)
        if self.cluster[effect.machine].life is None:
            await checkpoint()  # where the tasks of a machine that was struck end

    async def run(self) -> Report:
        began_s = anyio.current_time()
        self.parting.arm(self.history.step)
        with anyio.move_on_after(3600.0):
            await self._orders()
            await self._quiet()
            await self._rest("it comes to rest")
            if self.scenario.restarts and not self.watch.wrong:
                await self._once_more()
        for operation_id, result in self.results.items():
            self.watch._say(answers.lies(operation_id, result, self.watch.truth))
        return self.report(anyio.current_time() - began_s)

    def report(self, virtual_s: float) -> Report:
        ended = [how for each, how in self.watch.truth.ended.items() if each not in self.watch.before]
        wrong = tuple(self.watch.wrong)
        return Report(
            seed=self.scenario.seed,
            wrong=wrong,
            story="",
            effects=self.history.step,
            virtual_s=virtual_s,
            committed=ended.count("committed"),
            aborted=ended.count("aborted"),
            struck=tuple(type(each).__name__ for each in self.striker.struck),
            acknowledged=sum(len(each.acknowledged) for each in self.watch.clients.written.values()),
        )

    # ------------------------------------------------------------ orders

    async def _orders(self) -> None:
        orders = list(self.scenario.orders)
        while orders:
            beside = [orders.pop(0)]
            while orders and orders[0].beside:
                beside.append(orders.pop(0))
            async with anyio.create_task_group() as tasks:
                for each in beside:
                    tasks.start_soon(self._give, each)

    async def _give(self, order: Order) -> None:
        while self.cluster[order.by].life is None:  # noqa: ASYNC110 - their operator looks now and then
            await anyio.sleep(1.0)
        try:
            with anyio.fail_after(ANSWER_S):
                await self._order(order)
        except (PloyzError, TimeoutError) as error:
            self.history.tell("operator", f"{order} got no answer: {error}")

    async def _order(self, order: Order) -> None:
        match order:
            case Migrate(by, to):
                self.history.tell("operator", str(order))
                await self._watch_to_end(by, ApplyMigration(DB, to))
            case Deploy(by, command):
                self.history.tell("operator", str(order))
                await self._watch_to_end(by, ApplyDeploy(manifest_of(self.scenario.shape, command)))
            case Abort(by):
                with anyio.move_on_after(60.0):
                    await self.striker.aborting.wait()
                for operation_id in self.watch.truth.undecided():
                    self.history.tell("operator", f"on {by}: abort {operation_id}")
                    await self._ask(by, AbortOperation(operation_id))

    async def _watch_to_end(self, by: MachineId, message: Message[Accepted]) -> None:
        operation_id = (await self._ask(by, message)).operation_id
        after = 0
        while True:
            page = await self._ask(by, WatchOperation(operation_id, after, 10.0))
            if page.progress:
                after = page.progress[-1].seq
            elif page.result is not None:
                self.results[operation_id] = page.result
                problem = f": {page.result.problem.text}" if page.result.problem else ""
                self.history.tell("operator", f"is told: exit {page.result.exit_code}{problem}")
                return

    async def _ask(self, by: MachineId, message: Message[R]) -> R:
        life = self.cluster[by].life
        if life is None or not life.is_up:
            raise Unreachable(Code.NODE_UNREACHABLE, f"{by} is off")
        return await ask_as_operator(life.system.deliver, "operations", message, OPERATOR, timeout_s=60.0)

    # ------------------------------------------------------------ rest

    async def _quiet(self) -> None:
        """What has not struck by now strikes no more; and every machine is back."""
        self.parting.all_part(self)
        self.striker.disarm()
        await anyio.sleep(max(0.0, self.striker.quiet_at_s - anyio.current_time()) + 0.01)

    async def _rest(self, what: str) -> None:
        ends_s = anyio.current_time() + RECOVERED_S
        calm_since_s: float | None = None
        while True:
            self.watch.records()
            wrong = ends.complaints(self.watch.picture(), self.watch.truth)
            now_s = anyio.current_time()
            calm_since_s = None if wrong else calm_since_s if calm_since_s is not None else now_s
            if calm_since_s is not None and now_s - calm_since_s >= CALM_S:
                return
            if calm_since_s is None and now_s >= ends_s:
                self.watch._say([f"not within {RECOVERED_S:g} s: {what}; {each}" for each in wrong])
                return
            if self.history.step > EFFECTS_MAX:
                self.watch._say([f"more than {EFFECTS_MAX} effects"])
                return
            await anyio.sleep(LOOK_S)

    async def _once_more(self) -> None:
        before = self.watch.picture()
        self.history.tell("", "every ployzd is started once more")
        for name in self.cluster.machines:
            self.cluster.kill(name)
        for name in self.cluster.machines:
            self.cluster.begin_life(name)
        await anyio.sleep(CALM_S)
        await self._rest("it is as it was after every ployzd was started once more")
        self.watch._say(ends.differences(before, self.watch.picture()))


def manifest_of(shape: Shape, command: str = "") -> str:
    return manifest(*map(volume, shape.volumes), service(volumes=shape.volumes, command=command))
