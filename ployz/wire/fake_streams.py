"""Streams without sockets or programs: content moves between the fakes of two machines, in the scheduler's time.

What an argv does is asked of its machine's `Programs`. A stream takes as long as its bytes take at the link's rate,
stands while the link is cut, goes on when it is back, and breaks off like the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

import anyio
from attrs import define, field

from ployz.errors import Code, Failed, PloyzError, Unreachable
from ployz.wire.stream_link import SILENT_S
from ployz.wire.stream_window import WINDOW_BYTES
from ployz.wire.streams import TICK_S, TOKEN_BYTES, Limit, Received, Sent, Ticket, failed, link_lost, receiver_gone

CONNECT_S = 5.0
PORT = 7702
RATE_BYTES_PER_S = 40 << 20


class Programs(Protocol):
    """One machine's programs, by their argv."""

    def output_of(self, argv: Sequence[str]) -> bytes:
        """What it writes. `Failed`: it ended with an error."""
        ...

    def give(self, argv: Sequence[str], content: bytes) -> None:
        """All that it reads. `Failed`: it took nothing."""
        ...

    def cut(self, argv: Sequence[str], beginning: bytes) -> None:
        """No more than this is read, and then its end."""
        ...


class FakeAwaited:
    """One stream that may come to a fake machine."""

    def __init__(self, purpose: str, argv: Sequence[str], ticket: Ticket, expires_at_s: float) -> None:
        self.ticket = ticket
        self.purpose = purpose
        self.argv = tuple(argv)
        self._expires_at_s = expires_at_s
        self._claimed = anyio.Event()
        self._over = anyio.Event()
        self._outcome: Received | Failed | None = None
        self.on_broken: Callable[[], None] | None = None
        """While a stream comes: its program reads its end here."""

    async def result(self) -> Received:
        try:
            with anyio.move_on_after(self._expires_at_s - anyio.current_time()):
                await self._claimed.wait()
            if not self._claimed.is_set():
                self.settle(failed(f"{self.purpose}: the sender did not come in time"))
            await self._over.wait()
        finally:
            self.cancel()
        if isinstance(self._outcome, Received):
            return self._outcome
        raise self._outcome or AssertionError("settle() gave one of the two")

    def cancel(self) -> None:
        self.settle(failed(f"{self.purpose}: it was cancelled"))

    async def end(self) -> None:
        self.cancel()

    def claim(self) -> bool:
        """True once: a ticket opens one stream."""
        if self._claimed.is_set() or self.is_over or anyio.current_time() >= self._expires_at_s:
            return False
        self._claimed.set()
        return True

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def settle(self, outcome: Received | Failed) -> None:
        """The first outcome stands."""
        if not self._over.is_set():
            self._outcome = outcome
            self._claimed.set()
            self._over.set()
            if self.on_broken is not None and isinstance(outcome, Failed):
                self.on_broken()


@define(eq=False)
class StreamLinks:
    """All machines' streams, and the way between them."""

    passes: Callable[[str, str], bool]
    """Whether bytes get from one machine to the other now. Machines are named by the address in their tickets."""
    rate_bytes_per_s: int = RATE_BYTES_PER_S
    _ends: dict[str, FakeStreams] = field(factory=dict, init=False)
    _tokens: count[int] = field(factory=lambda: count(1), init=False)

    def at(self, address: str, programs: Programs) -> FakeStreams:
        """A machine's streams, from its start on. Those of its life before are gone, with every ticket."""
        if (before := self._ends.get(address)) is not None:
            before.end()
        self._ends[address] = FakeStreams(self, address, programs)
        return self._ends[address]

    def token(self) -> bytes:
        return next(self._tokens).to_bytes(TOKEN_BYTES, "big")

    def end(self, address: str) -> FakeStreams | None:
        return self._ends.get(address)


@define(eq=False)
class FakeStreams:
    links: StreamLinks
    address: str
    programs: Programs
    _awaited: dict[bytes, FakeAwaited] = field(factory=dict, init=False)
    coming: list[FakeAwaited] = field(factory=list, init=False)
    """Those whose streams are on their way to here."""

    def end(self) -> None:
        """Its process is gone."""
        for each in self.coming:
            each.settle(failed(f"{each.purpose}: its receiver ended"))

    def expect(self, purpose: str, argv: Sequence[str], *, deadline_s: float) -> FakeAwaited:
        ticket = Ticket(self.address, PORT, self.links.token())
        awaited = FakeAwaited(purpose, argv, ticket, anyio.current_time() + deadline_s)
        self._awaited[ticket.token] = awaited
        return awaited

    def take(self, ticket: Ticket) -> FakeAwaited | None:
        return self._awaited.pop(ticket.token, None)

    async def send(
        self,
        ticket: Ticket,
        argv: Sequence[str],
        *,
        patience_s: float,
        limit: Limit | None = None,
        on_progress: Callable[[int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
    ) -> Sent:
        began_s = anyio.current_time()
        receiver = self.links.end(ticket.address)
        if receiver is None or not self.links.passes(self.address, ticket.address):
            await anyio.sleep(CONNECT_S)
            raise Unreachable(Code.MACHINE_UNREACHABLE, f"{ticket.address} did not answer: nothing was sent")
        awaited = receiver.take(ticket)
        if awaited is None or not awaited.claim():
            raise _not_taken(ticket)
        moving = _Moving(self, receiver, awaited, patience_s, on_progress or _nobody, on_lost or _nobody)
        if limit is not None and limit.bytes_per_s is not None:
            moving.rate_bytes_per_s = min(moving.rate_bytes_per_s, limit.bytes_per_s)
        receiver.coming.append(awaited)
        try:
            await moving.move(self.programs.output_of(argv))
        except Failed as error:
            awaited.settle(failed(f"{awaited.purpose}: {error.problem.text}"))
            raise
        finally:
            awaited.settle(failed(f"{awaited.purpose}: the sender broke it off"))
            receiver.coming.remove(awaited)
        duration_ms = round((anyio.current_time() - began_s) * 1000)
        return Sent(moving.size_bytes, duration_ms, moving.again_bytes, moving.links_lost)


@define(eq=False)
class _Moving:
    """One stream on its way."""

    sender: FakeStreams
    receiver: FakeStreams
    awaited: FakeAwaited
    patience_s: float
    on_progress: Callable[[int], None]
    on_lost: Callable[[str], None]
    rate_bytes_per_s: int = field(init=False)
    size_bytes: int = field(default=0, init=False)
    arrived: float = field(default=0.0, init=False)
    again_bytes: int = field(default=0, init=False)
    links_lost: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.rate_bytes_per_s = self.sender.links.rate_bytes_per_s

    async def move(self, content: bytes) -> None:
        self.size_bytes = len(content)
        self.awaited.on_broken = lambda: self.receiver.programs.cut(self.awaited.argv, content[: round(self.arrived)])
        await self._arrive()
        try:
            self.receiver.programs.give(self.awaited.argv, content)
        except PloyzError as error:
            raise failed(f"the receiver failed: {error.problem.text}") from error
        self.awaited.settle(Received(self.size_bytes, ""))

    async def _arrive(self) -> None:
        rate = self.rate_bytes_per_s
        while self.arrived < self.size_bytes:
            step_s = min(TICK_S, (self.size_bytes - self.arrived) / rate)
            await anyio.sleep(step_s)
            self._check()
            if not self._passes():
                await self._wait_for_the_link()
                continue
            self.arrived = min(self.size_bytes, self.arrived + step_s * rate)
            self.on_progress(round(self.arrived))

    def _passes(self) -> bool:
        return self.sender.links.passes(self.sender.address, self.receiver.address)

    def _check(self) -> None:
        if self._passes() and self.sender.links.end(self.receiver.address) is not self.receiver:
            raise receiver_gone(f"the stream failed after {self.arrived:.0f} bytes: its receiver knows it no more")
        if self.awaited.is_over:
            raise failed(f"the stream failed after {self.arrived:.0f} bytes: the receiver broke it off without a word")

    async def _wait_for_the_link(self) -> None:
        """What was on its way is sent again."""
        stood_s = 0.0
        while not self._passes():
            await anyio.sleep(TICK_S)
            stood_s += TICK_S
            if stood_s == SILENT_S:
                self.links_lost += 1
                self.again_bytes += min(WINDOW_BYTES, self.size_bytes - round(self.arrived))
                self.on_lost(f"nothing came over it for {SILENT_S:g} s")
            if stood_s >= self.patience_s:
                text = f"the stream failed after {self.arrived:.0f} bytes: nothing moved for {self.patience_s:g} s"
                raise link_lost(text)
        self._check()


def _not_taken(ticket: Ticket) -> Failed:
    return receiver_gone(f"the receiver at {ticket.address} does not take this ticket")


def _nobody(_: object) -> None:
    """Nobody wants to hear of it."""
