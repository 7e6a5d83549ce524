"""The receiving end: a server that lets in whoever shows a ticket, and gives what comes to a program.

The token is all that a connection has to prove. A stream may come over several connections, one after the other.
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import SocketStream, TaskGroup, TaskStatus

from ployz.errors import Code, Failed, Refused
from ployz.wire.admission import STREAMS, Admission
from ployz.wire.repeats import Repeats
from ployz.wire.sockets import IsMembers, comes_from, raw_socket
from ployz.wire.stream_intake import Connections, Intake
from ployz.wire.stream_link import Link, LinkLost
from ployz.wire.streams import (
    ACCEPTED,
    GIVE_UP,
    HEADER_BYTES,
    MAGIC,
    NOT_ACCEPTED,
    TOKEN_BYTES,
    Received,
    Ticket,
    failed,
)

HEADER_S = 5.0
EXPECTATIONS_MAX = 256

_log = logging.getLogger("ployz.wire")


class Expectation:
    """One stream that may come. Whoever made it awaits `result`, and calls `cancel` if it no longer wants it."""

    def __init__(self, purpose: str, argv: Sequence[str], ticket: Ticket, expires_at_s: float) -> None:
        self.ticket = ticket
        self.purpose = purpose
        self.argv = tuple(argv)
        self.expires_at_s = expires_at_s
        self.scope = anyio.CancelScope()
        self.connections = Connections()
        self.is_finished = False
        """The sender has its verdict, or will not get one."""
        self.gone = anyio.Event()
        """No program runs any more."""
        self.ended_by = "it was stopped"
        self._claimed = False
        self._done = anyio.Event()
        self._received: Received | None = None
        self._problem: Failed | None = None

    async def result(self) -> Received:
        """Waits for the sender, and for the program. Cancelling this cancels the stream.

        Raises `Failed` with STREAM_FAILED: nobody came before the deadline, the program failed, it was broken off.
        """
        try:
            if not self._claimed:
                with anyio.move_on_after(self.expires_at_s - anyio.current_time()):
                    await self._done.wait()
                if not self._claimed:
                    self.settle(failed(f"{self.purpose}: the sender did not come in time"))
            await self._done.wait()
        finally:
            self.cancel()
        if self._problem is not None:
            raise self._problem
        assert self._received is not None  # noqa: S101 - settle() gave one of the two
        return self._received

    def cancel(self) -> None:
        """Nobody may come any more; a program that runs is killed. Over already is done."""
        if not self._done.is_set():  # else the verdict may still be on its way
            self.settle(failed(f"{self.purpose}: it was cancelled"))
            self.is_finished = True
            self.scope.cancel()

    async def end(self) -> None:
        """Cancels, and waits until its program is gone."""
        self.cancel()
        if self._claimed:
            await self.gone.wait()

    def break_off(self) -> None:
        """The sender will not come again. Settled when the program is gone."""
        self.ended_by = "the sender broke it off"
        self.is_finished = True
        self.scope.cancel()

    @property
    def is_open(self) -> bool:
        return not self.is_finished and (self._claimed or anyio.current_time() < self.expires_at_s)

    def claim(self) -> bool:
        """True for the first connection of the stream."""
        is_first, self._claimed = not self._claimed, True
        return is_first

    def settle(self, outcome: Received | Failed) -> None:
        """The first outcome stands."""
        if self._done.is_set():
            return
        if isinstance(outcome, Received):
            self._received = outcome
        else:
            self._problem = outcome
        self._done.set()


class StreamServer:
    """Listens on this machine's overlay address. A program that takes nothing for `stall_s` is taken for dead; a
    stream whose sender is gone for `patience_s` is over.
    """

    def __init__(self, *, stall_s: float, patience_s: float, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._stall_s = stall_s
        self._patience_s = patience_s
        self._entropy = entropy
        self._expectations: dict[bytes, Expectation] = {}
        self._place: tuple[str, int] | None = None
        self._admission = Admission(STREAMS)
        self._warnings = Repeats(_log)
        self._receiving: TaskGroup

    async def serve(
        self, address: str, port: int, is_members: IsMembers, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED
    ) -> None:
        """Until it is cancelled. Starts with the port (0: any)."""
        listener = await anyio.create_tcp_listener(local_host=address, local_port=port)
        async with listener, anyio.create_task_group() as self._receiving:
            self._place = (address, raw_socket(listener.listeners[0]).getsockname()[1])
            task_status.started(self._place[1])
            try:
                await listener.serve(partial(self._connected, is_members))
            finally:
                for expectation in self._expectations.values():
                    expectation.cancel()

    def expect(self, purpose: str, argv: Sequence[str], *, deadline_s: float) -> Expectation:
        """Makes a ticket for one stream into `argv`, good for `deadline_s` until its sender has connected.

        `purpose` is for errors: `receiving production/pgdata`. Raises `Refused` with STREAM_FAILED when too many are
        open.
        """
        if self._place is None:
            raise AssertionError("expect() comes after serve() has started")
        self._expectations = {token: each for token, each in self._expectations.items() if each.is_open}
        if len(self._expectations) >= EXPECTATIONS_MAX:
            raise Refused(Code.STREAM_FAILED, f"{EXPECTATIONS_MAX} streams are awaited already")
        token = self._entropy(TOKEN_BYTES)
        ticket = Ticket(*self._place, token)
        expectation = Expectation(purpose, argv, ticket, anyio.current_time() + deadline_s)
        self._expectations[token] = expectation
        return expectation

    async def _connected(self, is_members: IsMembers, stream: SocketStream) -> None:
        if not comes_from(is_members, stream):
            self._warnings.warn("no member's address", "a stream connection had no member's address")
            await anyio.aclose_forcefully(stream)
            return
        async with stream:
            try:
                with self._admission.place(raw_socket(stream).getpeername()[0]):
                    await self._answer(stream)
            except Refused as error:
                self._warnings.warn("places", f"a stream connection was closed at once: {error}")
            except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError, LinkLost):
                self._warnings.warn("no ticket", "a stream connection went away before it showed a ticket")

    async def _answer(self, stream: SocketStream) -> None:
        header = b""
        with anyio.fail_after(HEADER_S):
            while len(header) < HEADER_BYTES:
                header += await stream.receive(HEADER_BYTES - len(header))
            expectation = self._find(header[len(MAGIC) :])
            gives_up = header.startswith(GIVE_UP)
            if expectation is None or not (gives_up or header.startswith(MAGIC)):
                self._warnings.warn("wrong ticket", "a stream connection showed no valid ticket")
                await stream.send(NOT_ACCEPTED)
                return
            await stream.send(ACCEPTED)
        if gives_up:
            expectation.break_off()
            return
        link = Link(stream)
        expectation.connections.put(link)
        if expectation.claim():
            self._receiving.start_soon(self._receive, expectation)
        await link.closed.wait()

    def _find(self, token: bytes) -> Expectation | None:
        found = None
        for known, expectation in self._expectations.items():  # all of them: the time says nothing about the token
            if hmac.compare_digest(token, known) and expectation.is_open:
                found = expectation
        return found

    async def _receive(self, expectation: Expectation) -> None:
        intake = Intake(expectation.connections, expectation.argv, self._stall_s, self._patience_s)
        try:
            with expectation.scope:
                try:
                    verdict = await intake.carry_out()
                finally:
                    expectation.gone.set()
                if verdict.problem:
                    expectation.settle(failed(f"{expectation.purpose}: {verdict.problem}"))
                else:
                    expectation.settle(Received(verdict.bytes_count, verdict.words))
                await intake.tell(verdict)
        finally:
            expectation.settle(failed(f"{expectation.purpose}: {expectation.ended_by}"))
            expectation.is_finished = True
            expectation.connections.close()
