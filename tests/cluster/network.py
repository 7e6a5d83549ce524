"""The overlay between machines, simulated: messages take time, links are cut, answers are lost.

Everything crosses it as the bytes of the real codec, so that a message that could not travel is found.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from ployz.errors import Code, PloyzError, Unreachable
from ployz.ids import MachineId
from ployz.wire.client import CONNECT_S, SILENCE_S
from ployz.wire.codec import decode_message, decode_reply, encode, encode_reply
from ployz.wire.message import Message, Peer, Sender
from ployz.wire.session import Refusal

LATENCY_S = (0.0002, 0.002)

R = TypeVar("R")


class Deliver(Protocol):
    async def __call__(self, to: str, message: Message[R], sender: Sender, *, timeout_s: float) -> R: ...


@frozen
class Packet:
    """A message between two machines, as a test chooses which to lose."""

    source: MachineId
    target: MachineId
    to: str
    message: Message[Any]


@define(eq=False)
class _Station:
    """One life of a machine on the network."""

    machine: MachineId
    deliver: Deliver
    tasks: TaskGroup
    left_at_s: float | None = field(default=None, init=False)


@define(eq=False)
class _Exchange:
    """A request whose answer is awaited. The first outcome stands."""

    answered: anyio.Event = field(factory=anyio.Event, init=False)
    body: bytes = field(default=b"", init=False)
    error: PloyzError | None = field(default=None, init=False)

    def answer(self, body: bytes) -> None:
        if not self.answered.is_set():
            self.body = body
            self.answered.set()

    def fail(self, error: PloyzError) -> None:
        if not self.answered.is_set():
            self.error = error
            self.answered.set()


@define(eq=False)
class _Loss:
    where: Callable[[Packet], bool]
    of_reply: bool
    times: int


@define(eq=False)
class Network:
    random: random.Random
    _stations: dict[MachineId, _Station] = field(factory=dict, init=False)
    _cuts: dict[frozenset[MachineId], float] = field(factory=dict, init=False)
    """Cut links, and since when."""
    _losses: list[_Loss] = field(factory=list, init=False)
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    # ------------------------------------------------------------ levers

    def cut(self, a: MachineId, b: MachineId) -> None:
        self._cuts.setdefault(frozenset({a, b}), anyio.current_time())
        self._tell()

    def heal(self, a: MachineId, b: MachineId) -> None:
        self._cuts.pop(frozenset({a, b}), None)
        self._tell()

    def lose(self, where: Callable[[Packet], bool], *, reply: bool, times: int = 1) -> None:
        """The next `times` such messages, or the answers to them, are lost together with their connection."""
        self._losses.append(_Loss(where, reply, times))

    def passes(self, a: MachineId, b: MachineId) -> bool:
        return frozenset({a, b}) not in self._cuts and {a, b} <= self._stations.keys()

    # ------------------------------------------------------------ machines

    def join(self, machine: MachineId, deliver: Deliver, tasks: TaskGroup) -> None:
        self._stations[machine] = _Station(machine, deliver, tasks)
        self._tell()

    def leave(self, machine: MachineId) -> None:
        station = self._stations.pop(machine, None)
        if station is not None:
            station.left_at_s = anyio.current_time()
            self._tell()

    def peers(self, machine: MachineId) -> SimulatedPeers:
        return SimulatedPeers(self, machine)

    async def exchange(self, packet: Packet, body: bytes, timeout_s: float) -> bytes:
        station = await self._connection(packet)
        exchange = _Exchange()
        station.tasks.start_soon(self._carry, station, packet, body, timeout_s, exchange)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, station, packet.source, exchange)
            await exchange.answered.wait()
            tasks.cancel_scope.cancel()
        if exchange.error is not None:
            raise exchange.error
        return exchange.body

    # ------------------------------------------------------------ inside

    async def _connection(self, packet: Packet) -> _Station:
        """A link that was cut just now has a connection on it, into which the message is sent all the same."""
        station = self._stations.get(packet.target)
        cut_since_s = self._cuts.get(frozenset({packet.source, packet.target}), float("inf"))
        if packet.source not in self._stations:
            raise Unreachable(Code.MACHINE_UNREACHABLE, f"{packet.source} is off")
        if station is None or anyio.current_time() - cut_since_s >= SILENCE_S:
            await anyio.sleep(CONNECT_S)
            raise Unreachable(Code.MACHINE_UNREACHABLE, f"{packet.target} cannot be reached: no answer")
        return station

    async def _carry(
        self, station: _Station, packet: Packet, body: bytes, timeout_s: float, exchange: _Exchange
    ) -> None:
        """The other machine's side. It goes on when the asker has gone."""
        if self._is_lost(packet, of_reply=False):
            return exchange.fail(_lost(packet.target))
        await self._travel(packet)
        answer, problem = b"", None
        try:
            message = decode_message(packet.message.tag, body)
            reply = await station.deliver(packet.to, message, Peer(packet.source), timeout_s=timeout_s)
            answer = encode_reply(reply)
        except PloyzError as error:
            problem = Refusal.of(1, error).to_error()
        if self._is_lost(packet, of_reply=True):
            return exchange.fail(_lost(packet.target))
        await self._travel(packet)
        return exchange.fail(problem) if problem else exchange.answer(answer)

    async def _travel(self, packet: Packet) -> None:
        """Bytes on a cut link arrive when it is healed; by then the other side may have given up."""
        await anyio.sleep(self.random.uniform(*LATENCY_S))
        while frozenset({packet.source, packet.target}) in self._cuts:
            await self._changed.wait()

    async def _watch(self, station: _Station, source: MachineId, exchange: _Exchange) -> None:
        """The asker's side: the connection is lost after a long silence, and when the other machine is another one."""
        link = frozenset({source, station.machine})
        while True:
            now = self._stations.get(station.machine)
            if now is not None and now is not station:
                break
            silent_since_s = station.left_at_s if now is None else self._cuts.get(link)
            limit_s = float("inf") if silent_since_s is None else silent_since_s + SILENCE_S - anyio.current_time()
            with anyio.move_on_after(max(limit_s, 0)) as waiting:
                await self._changed.wait()
            if waiting.cancelled_caught:
                break
        exchange.fail(_lost(station.machine))

    def _is_lost(self, packet: Packet, *, of_reply: bool) -> bool:
        for loss in self._losses:
            if loss.times and loss.of_reply == of_reply and loss.where(packet):
                loss.times -= 1
                return True
        return False

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@frozen
class SimulatedPeers:
    """What one machine sees of the others: an actor system's `Peers`."""

    network: Network
    machine: MachineId

    async def ask(self, machine: MachineId, to: str, message: Message[R], *, timeout_s: float) -> R:
        body = encode(message)
        try:
            with anyio.fail_after(timeout_s):
                answer = await self.network.exchange(Packet(self.machine, machine, to, message), body, timeout_s)
        except TimeoutError:
            text = f"{to} on {machine} did not answer {message.tag} within {timeout_s:g} s: it may or may not be done"
            raise Unreachable(Code.TIMED_OUT, text) from None
        return decode_reply(message, answer)


def _lost(machine: MachineId) -> Unreachable:
    text = f"the connection to {machine} was lost before it answered: it may or may not be done"
    return Unreachable(Code.OUTCOME_UNKNOWN, text)


async def ask_as_operator(deliver: Deliver, to: str, message: Message[R], sender: Sender, *, timeout_s: float) -> R:
    """As ployzctl asks over the socket: through the codec both ways."""
    arrived: Message[R] = decode_message(message.tag, encode(message))
    try:
        reply = await deliver(to, arrived, sender, timeout_s=timeout_s)
    except PloyzError as error:
        raise Refusal.of(1, error).to_error() from error
    return decode_reply(message, encode_reply(reply))
