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
class Station:
    """One life of a machine on the network."""

    machine: MachineId
    deliver: Deliver
    tasks: TaskGroup
    takes: bool = field(default=True, init=False)
    """Whether its ployzd takes what comes. One that is ending does not, and its tasks end with it."""
    left_at_s: float | None = field(default=None, init=False)


@define(eq=False)
class _Exchange:
    """A request whose answer is awaited. The first outcome stands."""

    over: bool = field(default=False, init=False)
    body: bytes = field(default=b"", init=False)
    error: PloyzError | None = field(default=None, init=False)
    news: anyio.Event = field(factory=anyio.Event, init=False)
    """Set when it is over, and when something changed on the network."""

    def answer(self, body: bytes) -> None:
        if not self.over:
            self.over, self.body = True, body
            self.news.set()

    def fail(self, error: PloyzError) -> None:
        if not self.over:
            self.over, self.error = True, error
            self.news.set()


@define(eq=False)
class _Trouble:
    """What becomes of the next `times` messages, or answers, that it is about."""

    where: Callable[[Packet], bool]
    of_reply: bool
    times: int
    lost: bool = False
    late_s: float = 0.0
    again_after_s: float | None = None


_NO_TROUBLE = _Trouble(lambda _: False, of_reply=False, times=0)


@define(eq=False)
class Network:
    random: random.Random
    packet_bytes: dict[frozenset[MachineId], int] = field(factory=dict, init=False)
    """What passes between two machines in one packet, where not all does."""
    _stations: dict[MachineId, Station] = field(factory=dict, init=False)
    _cuts: dict[tuple[MachineId, MachineId], float] = field(factory=dict, init=False)
    """The ways from one machine to another that are cut, and since when."""
    _troubles: list[_Trouble] = field(factory=list, init=False)
    _open: dict[_Exchange, None] = field(factory=dict, init=False)
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    # ------------------------------------------------------------ levers

    def cut(self, a: MachineId, b: MachineId, *, one_way: bool = False) -> None:
        """`one_way`: what b sends still reaches a."""
        for way in [(a, b)] if one_way else [(a, b), (b, a)]:
            self._cuts.setdefault(way, anyio.current_time())
        self._tell()

    def heal(self, a: MachineId, b: MachineId) -> None:
        """Both ways."""
        self._cuts.pop((a, b), None)
        self._cuts.pop((b, a), None)
        self._tell()

    def lose(self, where: Callable[[Packet], bool], *, reply: bool, times: int = 1) -> None:
        """The next `times` such messages, or the answers to them, are lost together with their connection."""
        self._troubles.append(_Trouble(where, reply, times, lost=True))

    def delay(self, where: Callable[[Packet], bool], *, reply: bool, late_s: float, times: int = 1) -> None:
        """They arrive late, after whatever was sent meanwhile; the other side may have given up by then."""
        self._troubles.append(_Trouble(where, reply, times, late_s=late_s))

    def repeat(self, where: Callable[[Packet], bool], *, again_after_s: float, times: int = 1) -> None:
        """They arrive, and then once more. Nobody waits for the second answer."""
        self._troubles.append(_Trouble(where, of_reply=False, times=times, again_after_s=again_after_s))

    def passes(self, a: MachineId, b: MachineId) -> bool:
        """A connection needs both ways."""
        return self._cut_since_s(a, b) == float("inf") and {a, b} <= self._stations.keys()

    def reaches(self, source: MachineId, target: MachineId) -> bool:
        return (source, target) not in self._cuts

    # ------------------------------------------------------------ machines

    def join(self, machine: MachineId, deliver: Deliver, tasks: TaskGroup) -> Station:
        station = self._stations[machine] = Station(machine, deliver, tasks)
        self._tell()
        return station

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
        self._open[exchange] = None
        try:
            if not station.takes:
                raise Unreachable(Code.MACHINE_UNREACHABLE, f"{packet.target} takes nothing any more")
            station.tasks.start_soon(self._carry, station, packet, body, timeout_s, exchange)
            await self._outcome(station, packet.source, exchange)
        finally:
            del self._open[exchange]
        if exchange.error is not None:
            raise exchange.error
        return exchange.body

    # ------------------------------------------------------------ inside

    def _cut_since_s(self, a: MachineId, b: MachineId) -> float:
        return min(self._cuts.get((a, b), float("inf")), self._cuts.get((b, a), float("inf")))

    async def _connection(self, packet: Packet) -> Station:
        """A link that was cut just now has a connection on it, into which the message is sent all the same."""
        station = self._stations.get(packet.target)
        if packet.source not in self._stations:
            raise Unreachable(Code.MACHINE_UNREACHABLE, f"{packet.source} is off")
        cut_since_s = self._cut_since_s(packet.source, packet.target)
        if station is None or anyio.current_time() - cut_since_s >= SILENCE_S:
            await anyio.sleep(CONNECT_S)
            raise Unreachable(Code.MACHINE_UNREACHABLE, f"{packet.target} cannot be reached: no answer")
        return station

    async def _carry(
        self, station: Station, packet: Packet, body: bytes, timeout_s: float, exchange: _Exchange
    ) -> None:
        """The other machine's side. It goes on when the asker has gone."""
        trouble = self._trouble(packet, of_reply=False)
        if trouble.lost:
            return exchange.fail(_lost(packet.target))
        await self._travel(packet.source, packet.target, trouble.late_s)
        if trouble.again_after_s is not None:
            station.tasks.start_soon(self._carry_again, station, packet, body, timeout_s, trouble.again_after_s)
        answer, problem = await self._deliver(station, packet, body, timeout_s)
        trouble = self._trouble(packet, of_reply=True)
        if trouble.lost:
            return exchange.fail(_lost(packet.target))
        await self._travel(packet.target, packet.source, trouble.late_s)
        return exchange.fail(problem) if problem else exchange.answer(answer)

    async def _carry_again(
        self, station: Station, packet: Packet, body: bytes, timeout_s: float, after_s: float
    ) -> None:
        await anyio.sleep(after_s)
        await self._deliver(station, packet, body, timeout_s)

    async def _deliver(
        self, station: Station, packet: Packet, body: bytes, timeout_s: float
    ) -> tuple[bytes, PloyzError | None]:
        try:
            message = decode_message(packet.message.tag, body)
            reply = await station.deliver(packet.to, message, Peer(packet.source), timeout_s=timeout_s)
            return encode_reply(reply), None
        except PloyzError as error:
            return b"", Refusal.of(1, error).to_error()

    async def _travel(self, source: MachineId, target: MachineId, late_s: float) -> None:
        """Bytes on a cut link arrive when it is healed; by then the other side may have given up."""
        await anyio.sleep(self.random.uniform(*LATENCY_S) + late_s)
        while (source, target) in self._cuts:
            await self._changed.wait()

    async def _outcome(self, station: Station, source: MachineId, exchange: _Exchange) -> None:
        """The asker's side: the connection is lost after a long silence, and when the other machine is another one."""
        while not exchange.over:
            now = self._stations.get(station.machine)
            if now is not None and now is not station:
                return exchange.fail(_lost(station.machine))
            silent_since_s = station.left_at_s if now is None else self._cut_since_s(source, station.machine)
            assert silent_since_s is not None
            exchange.news = anyio.Event()
            if silent_since_s == float("inf"):
                await exchange.news.wait()
                continue
            with anyio.move_on_after(max(silent_since_s + SILENCE_S - anyio.current_time(), 0)) as waiting:
                await exchange.news.wait()
            if waiting.cancelled_caught:
                return exchange.fail(_lost(station.machine))
        return None

    def _trouble(self, packet: Packet, *, of_reply: bool) -> _Trouble:
        for each in self._troubles:
            if each.times and each.of_reply == of_reply and each.where(packet):
                each.times -= 1
                return each
        return _NO_TROUBLE

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
        for each in self._open:
            each.news.set()


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
