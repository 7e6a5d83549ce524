"""The routing actor: keeps this machine's overlay in agreement with the facts, and with the candidates it runs.

A candidate's address is local before it is routed: this machine reaches it here, every other one where the facts say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from math import inf

import anyio
from attrs import evolve

from ployz.actors.core import Actor, handles
from ployz.actors.looking import LOOK_EVERY_S, LookingAgain
from ployz.actors.messages.routing import (
    AskWhereabouts,
    AwaitPosition,
    ClaimAddress,
    Reached,
    ReserveAddress,
    TellWay,
    Whereabouts,
)
from ployz.actors.parts import Parts
from ployz.actors.seeking import Seeker
from ployz.actors.ways import Ways
from ployz.config import ASK_TIMEOUT_S, Config, Join
from ployz.errors import Code, PloyzError, Unreachable
from ployz.events.types import AddressClaimed, AddressReserved
from ployz.host.ports import OverlayConfig, OverlayPeer, OverlayState
from ployz.ids import SlotRef
from ployz.plan import addresses, names, reach
from ployz.plan.struggles import Wrong
from ployz.projections.machines import Member
from ployz.projections.operations import Status
from ployz.wire.message import Done, Peer

RETRY_S = 1.0
"""After the kernel refused something: it is asserted again, and again."""


LISTEN_S = 0.25
"""While a key changes: what is sent to that machine waits for no more than this."""
CLOSELY_S = 60.0
RARELY_S = 5.0
"""A change of a key that nobody has finished may stay for days."""
LOSSES_S = 3.0
"""What goes bit by bit is looked at again no more often."""


class RoutingActor(Actor):
    """`routing`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._applied = 0
        self._news = anyio.Event()
        self._applying = anyio.Lock()
        self._answering: frozenset[str] = frozenset()
        self._plugged: Mapping[str, int] | None = None
        """As Docker said last. None: it was not asked yet."""
        self._looking = LookingAgain(parts, "overlay", self._look, self._put_back)

    async def started(self) -> None:
        self._seeker = Seeker(self._parts, self.system)
        self._ways = Ways(self._parts, self.system)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen_for_keys)
            tasks.start_soon(self._watch_bridge)
            tasks.start_soon(self._looking.run)
            tasks.start_soon(self._seeker.run)
            tasks.start_soon(self._ways.run)
            tasks.start_soon(self._hear_of_losses)
            tasks.start_soon(self._follow)

    async def _hear_of_losses(self) -> None:
        """The kernel's own news. Without them there is the timer."""
        while True:
            try:
                await self._parts.overlay.next_loss()
            except PloyzError:
                await anyio.sleep(LOOK_EVERY_S)
                continue
            self._looking.soon()
            await anyio.sleep(LOSSES_S)

    async def _listen_for_keys(self) -> None:
        """While the key of a machine changes, it is heard with the new one when it has changed: nobody says when."""
        closely_until_s = 0.0
        while True:
            changing = {each.next_key for each in self._parts.view.machines.in_order() if each.next_key}
            with suppress(PloyzError):
                await self._hear(changing)
            pause_s = LISTEN_S if anyio.current_time() < closely_until_s else RARELY_S
            with anyio.move_on_after(pause_s if changing else inf) as waiting:
                await self._parts.next_change()
            if not waiting.cancelled_caught:
                closely_until_s = anyio.current_time() + CLOSELY_S

    async def _hear(self, changing: Collection[str]) -> None:
        status = await self._parts.overlay.status() if changing else ()
        heard = {each.public_key for each in status if each.handshake_age_s is not None}
        answering = frozenset(heard.intersection(changing))
        if answering != self._answering:
            self._answering = answering
            await self._apply()

    async def _follow(self) -> None:
        """Follows the facts for good."""
        with suppress(PloyzError):  # of an overlay that was there before: it is not widened for a moment
            await self._ways.find()
        while True:
            position = self._parts.view.position
            try:
                await self._apply()
            except PloyzError:
                await anyio.sleep(RETRY_S)
                continue
            if self._parts.view.position == position:
                await self._parts.next_change()

    async def _watch_bridge(self) -> None:
        """Who may speak there is known before; which port is whose, when it is there."""
        while True:
            news = self._parts.bridge_news
            try:
                await self._see_bridge()
            except PloyzError:
                await anyio.sleep(RETRY_S)
                continue
            await news.wait()

    async def _see_bridge(self) -> None:
        plugged = await self._parts.docker.plugged()
        if plugged != self._plugged:
            self._plugged = plugged
            await self._apply()

    @handles(ReserveAddress)
    async def reserve(self, message: ReserveAddress) -> Done:
        slot = SlotRef(message.service, message.candidate.slot)
        await self._looking.now()  # while the service still runs elsewhere
        await self._parts.journal.record(
            f"service/{message.service}",
            AddressReserved(slot, message.candidate.ipv6, message.candidate.ipv4),
            operation_id=message.operation_id,
            step=names.step("reserve", slot),
        )
        await self._apply()
        return Done()

    @handles(ClaimAddress)
    async def claim(self, message: ClaimAddress) -> Done:
        slot = SlotRef(message.service, message.candidate.slot)
        await self._parts.journal.record(
            f"service/{message.service}",
            AddressClaimed(slot, message.candidate.ipv6, message.candidate.ipv4),
            operation_id=message.operation_id,
            step=names.step("claim", slot),
        )
        await self._apply()
        return Done()

    async def _look(self) -> Wrong:
        with suppress(PloyzError):  # Docker is away, and nobody starts
            await self._see_bridge()
        async with self._applying:
            await self._find_ways()
            state = self._state()
            wrong = await self._parts.overlay.drift(state)
            if not wrong and addresses.is_sought_elsewhere(state, await self._parts.overlay.status()):
                await self._parts.overlay.apply(state)
            return wrong

    async def _find_ways(self) -> None:
        """An interface that takes less than before is nobody's doing here: it is followed, and not told of."""
        before = self._state()
        await self._ways.find()
        state = self._state()
        if state != before:
            await self._parts.overlay.apply(state)

    async def _put_back(self, kinds: frozenset[str]) -> frozenset[str]:
        async with self._applying:
            await self._parts.overlay.restore(self._state(), kinds)
        return kinds

    def _state(self) -> OverlayState:
        return overlay_state(self._parts, self._answering, self._plugged)

    @handles(AwaitPosition, concurrent=True)
    async def await_position(self, message: AwaitPosition) -> Reached:
        with anyio.move_on_after(ASK_TIMEOUT_S):
            while self._applied < message.position:
                await self._news.wait()
        if self._applied < message.position:
            raise Unreachable(
                Code.TIMED_OUT,
                f"{self._parts.me} follows the facts up to {self._applied}, not yet to {message.position}",
                "It goes on by itself: ployzctl machine ls shows how far it is.",
            )
        return Reached(self._applied)

    @handles(AskWhereabouts, concurrent=True)
    async def whereabouts(self, message: AskWhereabouts) -> Whereabouts:
        return await self._seeker.told(message.machine)

    @handles(TellWay, concurrent=True)
    async def tell_way(self, message: TellWay) -> Done:
        before = self._state()
        if isinstance(self.sender, Peer):
            self._ways.take(self.sender.machine, message.mtu)
        if self._state() != before:
            await self._apply()
        return Done()

    async def _apply(self) -> None:
        async with self._applying:
            view = self._parts.view
            position = view.position
            state = self._state()
            await self._parts.overlay.apply(state)
            if not self._parts.ways.keys() >= {peer.public_key for peer in state.peers}:
                await self._find_ways()
            self._applied = position
        self._news.set()
        self._news = anyio.Event()


def overlay_state(
    parts: Parts, answering: Collection[str] = (), plugged: Mapping[str, int] | None = None
) -> OverlayState:
    """By the facts and the claims; before the first fact, and after its removal, the founder alone."""
    join = parts.config.join
    if parts.view.machines.get(parts.me) is None and join is not None:
        return OverlayState((_founder(join, parts.view.machines.get(join.founder)),), frozenset())
    candidates = [
        (slot, each.ipv6, each.ipv4)
        for held in (parts.local.claims, parts.local.reserved)
        for slot, each in held.items()
    ]
    claims = [(parts.view.operations.status(each.operation_id), each) for each in parts.local.claims.values()]
    state = addresses.overlay_state(
        parts.view,
        parts.me,
        claimed=[(each.ipv6, each.ipv4) for status, each in claims if status is Status.UNDECIDED],
        withheld=[(each.ipv6, each.ipv4) for status, each in claims if status is not Status.COMMITTED],
        reserved=[
            (each.ipv6, each.ipv4)
            for each in parts.local.reserved.values()
            if each.made or parts.view.operations.status(each.operation_id) is Status.UNDECIDED
        ],
        answering=answering,
        plugged=plugged,
        ways=parts.ways,
    )
    return evolve(
        state,
        circles=reach.circles(parts.view, parts.me, candidates),
        offered=reach.offered(parts.view, parts.me),
    )


def overlay_config(config: Config, ipv6: str, ipv4: str, subnets: addresses.Subnets) -> OverlayConfig:
    gateway_ipv6, gateway_ipv4 = subnets.gateway
    return OverlayConfig(
        interface=config.interface,
        ipv6=ipv6,
        ipv4=ipv4,
        listen_port=config.listen_port,
        bridge=config.bridge,
        ipv6_subnet=str(subnets.workloads_ipv6),
        ipv4_subnet=str(subnets.workloads_ipv4),
        machine_ports=config.machine_ports,
        control_ports=config.machine_ports - {config.stream_port},
        gateways=(
            f"{gateway_ipv6}/{subnets.workloads_ipv6.prefixlen}",
            f"{gateway_ipv4}/{subnets.workloads_ipv4.prefixlen}",
        ),
    )


def _founder(join: Join, known: Member | None) -> OverlayPeer:
    """A machine that was removed knows newer ones of it than the key and the endpoint with which it once joined."""
    key, endpoint = (
        (join.founder_public_key, join.founder_endpoint) if known is None else (known.public_key, known.endpoint)
    )
    return OverlayPeer(key, endpoint, frozenset({join.founder_ipv6, join.founder_ipv4}))
