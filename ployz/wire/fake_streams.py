"""Streams without sockets or programs: content moves between the fakes of two machines, in the scheduler's time.

What an argv does is asked of its machine's `Programs`. A stream takes as long as its bytes take at the link's rate,
stands while the link is cut, and breaks off like the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

import anyio
from attrs import define, field

from ployz.errors import Code, Failed, PloyzError, Unreachable
from ployz.wire.streams import TICK_S, TOKEN_BYTES, Received, Sent, Ticket, failed

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


@define(eq=False)
class StreamLinks:
    """All machines' streams, and the way between them."""

    passes: Callable[[str, str], bool]
    """Whether bytes get from one machine to the other now. Machines are named by the address in their tickets."""
    rate_bytes_per_s: int = RATE_BYTES_PER_S
    stall_s: float = 20.0
    _ends: dict[str, FakeStreams] = field(factory=dict, init=False)
    _tokens: count[int] = field(factory=lambda: count(1), init=False)

    def at(self, address: str, programs: Programs) -> FakeStreams:
        """A machine's streams, from its start on. Those of its life before are gone, with every ticket."""
        if address in self._ends:
            self._ends[address].gone = True
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
    gone: bool = field(default=False, init=False)
    """Its machine has begun another life: what it was in the middle of breaks off."""
    _awaited: dict[bytes, FakeAwaited] = field(factory=dict, init=False)

    def expect(self, purpose: str, argv: Sequence[str], *, deadline_s: float) -> FakeAwaited:
        ticket = Ticket(self.address, PORT, self.links.token())
        awaited = FakeAwaited(purpose, argv, ticket, anyio.current_time() + deadline_s)
        self._awaited[ticket.token] = awaited
        return awaited

    def take(self, ticket: Ticket) -> FakeAwaited | None:
        return self._awaited.pop(ticket.token, None)

    async def send(
        self, ticket: Ticket, argv: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Sent:
        began_s = anyio.current_time()
        receiver = self.links.end(ticket.address)
        if receiver is None or not self.links.passes(self.address, ticket.address):
            await anyio.sleep(CONNECT_S)
            raise Unreachable(Code.MACHINE_UNREACHABLE, f"{ticket.address} did not answer: nothing was sent")
        awaited = receiver.take(ticket)
        if awaited is None or not awaited.claim():
            raise failed(f"the receiver at {ticket.address} does not take this ticket")
        try:
            sent_bytes = await self._move(awaited, receiver, argv, on_progress or _nobody)
        except Failed as error:
            awaited.settle(failed(f"{awaited.purpose}: {error.problem.text}"))
            raise
        finally:
            awaited.settle(failed(f"{awaited.purpose}: the sender broke it off"))
        return Sent(sent_bytes, round((anyio.current_time() - began_s) * 1000))

    async def _move(
        self, awaited: FakeAwaited, receiver: FakeStreams, argv: Sequence[str], on_progress: Callable[[int], None]
    ) -> int:
        content = self.programs.output_of(argv)
        arrived, stood_s = 0.0, 0.0
        while arrived < len(content):
            is_cut = not self.links.passes(self.address, receiver.address)
            step_s = TICK_S if is_cut else min(TICK_S, (len(content) - arrived) / self.links.rate_bytes_per_s)
            await anyio.sleep(step_s)
            if awaited.is_over or receiver.gone:
                raise failed(f"the stream failed after {arrived:.0f} bytes: the receiver broke it off without a word")
            if self.links.passes(self.address, receiver.address):
                arrived, stood_s = min(len(content), arrived + step_s * self.links.rate_bytes_per_s), 0.0
                on_progress(round(arrived))
            elif (stood_s := stood_s + step_s) >= self.links.stall_s:
                raise failed(f"the stream failed after {arrived:.0f} bytes: nothing moved for {self.links.stall_s:g} s")
        try:
            receiver.programs.give(awaited.argv, content)
        except PloyzError as error:
            raise failed(f"the receiver failed: {error.problem.text}") from error
        awaited.settle(Received(len(content), ""))
        return len(content)


def _nobody(sent_bytes: int) -> None:
    """Nobody wants to hear of progress."""
