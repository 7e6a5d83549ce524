"""The gateway actor: keeps this machine's gateway in agreement with the facts, and holds what a cut-over asks it to.

A hold is in the log before it is in the gateway. Who decides its end is the operation, by the facts that this machine
follows; a coordinator that is gone is not missed. While it is there it may let go earlier.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup

from ployz.actors.core import Actor, handles
from ployz.actors.messages.gateway import (
    AwaitDrained,
    AwaitReleased,
    BackendRow,
    CheckGateway,
    Drained,
    GatewayList,
    GatewayRow,
    HoldBegun,
    HoldRoutes,
    LetGo,
    ListRoutes,
    ReportGateway,
    RouteList,
    RouteRow,
    ShowGateways,
)
from ployz.actors.messages.routing import AwaitPosition
from ployz.actors.parts import Parts
from ployz.actors.slot_looks import SlotLooks
from ployz.actors.together import together
from ployz.config import ASK_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused, Unreachable
from ployz.events.types import RoutesHeld, RoutesReleased
from ployz.host.ports import BackendStatus, GatewayStatus
from ployz.ids import MachineId, ServiceRef, SlotName, SlotRef
from ployz.plan import committed, names
from ployz.plan.gateways import backends_of, gateway_state, gateways, served_routes
from ployz.projections.local import Held
from ployz.projections.operations import Status
from ployz.wire.message import Done

LOOK_S: Final = 2.0
"""How often slots are looked at, and certificates that may have been replaced."""
RETRY_S: Final = 1.0
DRAIN_LOOK_S: Final = 0.01
RELEASE_LOOK_S: Final = 0.02
FIRST_ANSWER_S: Final = 0.05
"""The first look whether the service answers at its new place. What was sent before that machine let it in is lost, and
TCP would say it again after a second only: a fresh look is sooner there."""
LAST_ANSWER_S: Final = 0.5
"""Each look is given twice as long as the one before it, up to this: machines may be far from each other."""

_log = logging.getLogger("ployz.gateway")


class GatewayActor(Actor):
    """`gateway`, on every machine: one that is none answers for itself, and stops what it was."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._looks = SlotLooks(parts)
        self._applying = anyio.Lock()
        self._position = 0
        self._problem = ""
        self._is_off = False
        """It is no gateway, and what it was as one has been stopped."""
        self._releasing: set[ServiceRef] = set()
        self._let_go: set[tuple[ServiceRef, Held]] = set()
        """Holds that are over, and are about to be so in the log."""
        self._news = anyio.Event()
        """Set when one was let go."""
        self._ever_before: dict[ServiceRef, tuple[int, int]] = {}
        """What was held and refused of a service before its hold began."""

    async def run(self) -> None:
        """Follows the facts for good."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._look_at_slots)
            while True:
                position = self._parts.view.position
                pause_s = LOOK_S
                try:
                    await self._agree(tasks)
                except PloyzError as error:
                    if error.problem.text != self._problem:
                        _log.warning("the gateway is not as it should be: %s", error)
                    self._problem, pause_s = error.problem.text, RETRY_S
                if self._parts.view.position == position:
                    with anyio.move_on_after(pause_s):
                        await self._parts.next_change()

    async def _look_at_slots(self) -> None:
        """Beside the facts: a slot that gives no answer takes its time to do so."""
        while True:
            while not self._is_gateway:
                await self._parts.next_change()
            if await self._looks.look():
                self._parts.facts_changed()
            await anyio.sleep(LOOK_S)

    async def _agree(self, tasks: TaskGroup) -> None:
        if not self._is_gateway:
            if self._parts.view.position and not self._is_off:
                if (await self._parts.gateway.status()).runs:
                    await self._parts.gateway.stop()
                self._is_off = True
            return
        self._is_off = False
        for service, held in list(self._parts.local.holds.items()):
            decided = self._parts.view.operations.status(held.operation_id) is not Status.UNDECIDED
            if decided and service not in self._releasing:
                self._releasing.add(service)
                tasks.start_soon(self._release, service, held)
        await self._apply()

    @property
    def _is_gateway(self) -> bool:
        member = self._parts.view.machines.get(self._parts.me)
        return member is not None and member.settings.gateway

    async def _apply(self) -> None:
        async with self._applying:
            view = self._parts.view
            holds = [each for each in self._parts.local.holds.items() if each not in self._let_go]
            position = view.position
            state = gateway_state(
                view,
                holds={service: held.until_ms for service, held in holds if not held.slots},
                out={SlotRef(service, slot) for service, held in holds for slot in held.slots} | self._looks.silent,
            )
            await self._parts.gateway.apply(state)
            self._position, self._problem = position, ""

    # ------------------------------------------------------------ holding

    @handles(CheckGateway, concurrent=True)
    async def check(self, message: CheckGateway) -> Done:  # noqa: ARG002 - being asked is the question
        lacks = await self._parts.gateway.lacks()
        if lacks is not None:
            raise Refused(
                Code.MISSING_PART,
                f"{self._parts.me} cannot be a gateway: {lacks}",
                "Install it there, and set it again.",
            )
        return Done()

    @handles(HoldRoutes, concurrent=True)
    async def hold(self, message: HoldRoutes) -> HoldBegun:
        operation = await self._parts.in_operation(message.operation_id, message.position)
        if not self._is_gateway:
            return HoldBegun(holds=False, running=0)
        status = await self._parts.gateway.status()
        mine = self._backends(message.service, status)
        self._ever_before[message.service] = _counts(mine)
        await self._parts.journal.record(
            f"service/{message.service}",
            RoutesHeld(message.service, message.slots, self._parts.clock.wall_ms() + message.hold_ms),
            operation_id=operation.operation_id,
            step=names.step("hold", _subject(message.service, message.slots)),
        )
        await self._apply()
        return HoldBegun(holds=True, running=_running(mine, message.slots))

    @handles(AwaitDrained, concurrent=True)
    async def drain(self, message: AwaitDrained) -> Drained:
        running, idle = 0, 0
        with anyio.move_on_after(message.within_ms / 1000):
            while idle < 2:  # noqa: PLR2004 - one that has just passed the hold is between the two looks
                running = _running(self._backends(message.service, await self._parts.gateway.status()), message.slots)
                idle = 0 if running else idle + 1
                await anyio.sleep(DRAIN_LOOK_S)
        return Drained(running)

    @handles(AwaitReleased, concurrent=True)
    async def released(self, message: AwaitReleased) -> Done:
        with anyio.move_on_after(message.within_ms / 1000):
            while self._holds(message):
                await self._news.wait()
        if self._holds(message):
            raise _not_yet(message.service, self._parts.me)
        return Done()

    @handles(LetGo, concurrent=True)
    async def let_go(self, message: LetGo) -> Done:
        await self._parts.in_operation(message.operation_id, message.position)
        held = self._parts.local.holds.get(message.service)
        if held is None or (held.operation_id, held.slots) != (message.operation_id, message.slots):
            return Done()
        if message.service not in self._releasing:
            self._releasing.add(message.service)
            await self._release(message.service, held)
        if self._parts.local.holds.get(message.service) == held:
            raise _not_yet(message.service, self._parts.me)
        return Done()

    def _holds(self, message: AwaitReleased) -> bool:
        held = self._parts.local.holds.get(message.service)
        return (
            held is not None
            and held.operation_id == message.operation_id
            and (message.service, held) not in self._let_go
        )

    async def _release(self, service: ServiceRef, held: Held) -> None:
        """When this machine reaches the service where the facts have it, or the hold is over."""
        try:
            left_s = max(0.0, held.until_ms - self._parts.clock.wall_ms()) / 1000
            with anyio.move_on_after(left_s):
                await self._wait_until_reached(service, held, self._parts.view.position)
            if self._parts.local.holds.get(service) != held:
                return  # the next operation holds it by now
            self._let_go.add((service, held))
            await self._apply()  # before anything else: requests wait for it
            self._news.set()
            self._news = anyio.Event()
            before = self._ever_before.pop(service, (0, 0))
            now = _counts(self._backends(service, await self._parts.gateway.status()))
            waited, refused = (max(0, after - earlier) for after, earlier in zip(now, before, strict=True))
            await self._parts.journal.record(
                f"service/{service}",
                RoutesReleased(service, waited, refused),
                operation_id=held.operation_id,
                step=names.step("release", _subject(service, held.slots)),
            )
        except PloyzError as error:
            _log.warning("what waits for %s cannot be let go yet: %s", service, error)
        finally:
            self._let_go.discard((service, held))
            self._releasing.discard(service)
            self._parts.facts_changed()

    async def _wait_until_reached(self, service: ServiceRef, held: Held, position: int) -> None:
        while True:
            try:
                await self.system.ref("routing").ask(AwaitPosition(position), timeout_s=ASK_TIMEOUT_S + 1)
                break
            except PloyzError:
                await anyio.sleep(RELEASE_LOOK_S)
        within_s = FIRST_ANSWER_S
        while not await self._looks.answers(service, held.slots, within_s=within_s):
            await anyio.sleep(RELEASE_LOOK_S)
            within_s = min(2 * within_s, LAST_ANSWER_S)

    def _backends(self, service: ServiceRef, status: GatewayStatus) -> list[BackendStatus]:
        found = (status.backend(name) for name in backends_of(self._parts.view, service))
        return [each for each in found if each is not None]

    # ------------------------------------------------------------ looking

    @handles(ListRoutes, concurrent=True)
    async def routes(self, message: ListRoutes) -> RouteList:  # noqa: ARG002 - it says "now"
        view = self._parts.view
        rows = []
        for route in served_routes(view):
            declared = committed.service(view, route.service)
            port = declared.port(route.service_port) if declared else None
            machines = tuple(dict.fromkeys(slot.machine for slot in view.placement.of_service(route.service)))
            rows.append(RouteRow(str(route), route.service, port.container_port if port else 0, machines))
        return RouteList(view.position, tuple(gateways(view)), tuple(rows))

    @handles(ShowGateways, concurrent=True)
    async def show(self, message: ShowGateways) -> GatewayList:
        known = gateways(self._parts.view)
        if message.machine is not None and message.machine not in known:
            raise Refused(
                Code.NO_GATEWAY,
                f"{message.machine} is no gateway",
                f"Gateways: {', '.join(known) or 'none'}. `ployzctl machine set MACHINE gateway=on` makes one.",
            )
        asked = [message.machine] if message.machine is not None else known
        rows = await together(*(partial(self._ask, machine) for machine in asked))
        return GatewayList(self._parts.view.position, tuple(rows))

    async def _ask(self, machine: MachineId) -> GatewayRow:
        try:
            return await self.system.remote(machine, "gateway").ask(ReportGateway(), timeout_s=PROBE_TIMEOUT_S)
        except PloyzError:
            return GatewayRow(machine, answers=False)

    @handles(ReportGateway, concurrent=True)
    async def report(self, message: ReportGateway) -> GatewayRow:  # noqa: ARG002 - it says "now"
        status = await self._parts.gateway.status()
        return GatewayRow(
            machine=self._parts.me,
            answers=True,
            runs=status.runs,
            position=self._position,
            problems=(*((self._problem,) if self._problem else ()), *status.problems),
            backends=tuple(self._row(each) for each in status.backends),
        )

    def _row(self, backend: BackendStatus) -> BackendRow:
        until_ms = backend.held_until_ms
        return BackendRow(
            backend=backend.name,
            state=_state(backend, holds=until_ms is not None and self._parts.clock.wall_ms() < until_ms),
            sessions=backend.sessions,
            held=backend.held,
            held_ever=backend.held_ever,
            refused=backend.expired + backend.turned_away,
            errors=backend.errors,
        )


def _not_yet(service: ServiceRef, me: MachineId) -> Unreachable:
    return Unreachable(
        Code.TIMED_OUT,
        f"what waits for {service} on {me} cannot be let go yet",
        "It goes on as soon as the service answers from there: ployzctl gateway status shows it.",
    )


def _subject(service: ServiceRef, slots: tuple[SlotName, ...]) -> str:
    """One operation may hold the slots of a service one after the other."""
    return f"{service}/{','.join(slots)}" if slots else str(service)


def _state(backend: BackendStatus, *, holds: bool) -> str:
    if holds:
        return "holding"
    if not backend.servers:
        return "no slot"
    return "partly out" if any(each.is_out for each in backend.servers) else "serving"


def _counts(backends: list[BackendStatus]) -> tuple[int, int]:
    """(Waited, refused), ever."""
    return sum(each.held_ever for each in backends), sum(each.expired + each.turned_away for each in backends)


def _running(backends: list[BackendStatus], slots: tuple[str, ...]) -> int:
    """HTTP alone: a TCP connection may last for days, and ends when the service stops."""
    return sum(
        server.sessions
        for backend in backends
        if backend.name.startswith("http.")
        for server in backend.servers
        if not slots or server.name in slots
    )
