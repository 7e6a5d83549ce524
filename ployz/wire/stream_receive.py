"""The receiving end: a server that lets in whoever shows a ticket, once, and hands the socket to a program.

The token is all that a connection has to prove, and the header is all that Python reads of it.
"""

from __future__ import annotations

import hmac
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import SocketStream, TaskStatus

from ployz.errors import Code, Failed, Refused
from ployz.wire.sockets import lent_to_a_program, raw_socket, tcp_counts, watch_link
from ployz.wire.stream_program import StreamProgram, running, until_stalled
from ployz.wire.streams import (
    ACCEPTED,
    FINISH_S,
    HEADER_BYTES,
    KERNEL_GRACE_S,
    MAGIC,
    NOT_ACCEPTED,
    TOKEN_BYTES,
    Received,
    Ticket,
    Verdict,
    encode_verdict,
    failed,
)

HEADER_S = 5.0
VERDICT_S = 10.0
EXPECTATIONS_MAX = 256
CONNECTIONS_MAX = 512
"""Containers can reach this port as well: they get no more than this."""
TRAILING_BYTES_MAX = 1 << 20
"""A program may stop reading at the end that it knows (of a tar archive, say); padding after it is let through."""
READ_BYTES = 64 << 10

_log = logging.getLogger("ployz.wire")


class Expectation:
    """One stream that may come. Whoever made it awaits `result`, and calls `cancel` if it no longer wants it."""

    def __init__(self, purpose: str, argv: Sequence[str], ticket: Ticket, expires_at_s: float) -> None:
        self.ticket = ticket
        self.purpose = purpose
        self.argv = tuple(argv)
        self.expires_at_s = expires_at_s
        self.scope = anyio.CancelScope()
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
            self.scope.cancel()

    @property
    def is_open(self) -> bool:
        return not self._claimed and not self._done.is_set() and anyio.current_time() < self.expires_at_s

    def claim(self) -> None:
        self._claimed = True

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
    """Listens on this machine's overlay address. A stream that moves nothing for `stall_s` is cut."""

    def __init__(self, *, stall_s: float, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._stall_s = stall_s
        self._entropy = entropy
        self._expectations: dict[bytes, Expectation] = {}
        self._place: tuple[str, int] | None = None
        self._open = 0

    async def serve(self, address: str, port: int, *, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
        """Until it is cancelled. Starts with the port (0: any)."""
        listener = await anyio.create_tcp_listener(local_host=address, local_port=port)
        async with listener:
            self._place = (address, raw_socket(listener.listeners[0]).getsockname()[1])
            task_status.started(self._place[1])
            try:
                await listener.serve(self._connected)
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

    async def _connected(self, stream: SocketStream) -> None:
        async with stream:
            if self._open >= CONNECTIONS_MAX:
                _log.warning("a stream connection was closed at once: %d are open", self._open)
                return
            self._open += 1
            try:
                expectation = await self._claimed(stream)
                if expectation is not None:
                    with expectation.scope:
                        await self._receive(stream, expectation)
            except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
                _log.warning("a stream connection went away before it showed a ticket")
            finally:
                self._open -= 1
                # zfs-fuse reads in its daemon, which has a copy of the socket and outlives the program that was
                # killed: closing ours alone would leave it reading, and the dataset busy, until TCP gives up.
                with suppress(OSError):
                    raw_socket(stream).shutdown(socket.SHUT_RDWR)

    async def _claimed(self, stream: SocketStream) -> Expectation | None:
        """The expectation whose token the connection shows; it is used up by that."""
        header = b""
        with anyio.fail_after(HEADER_S):
            while len(header) < HEADER_BYTES:
                header += await stream.receive(HEADER_BYTES - len(header))
        expectation = self._find(header)
        if expectation is None:
            _log.warning("a stream connection showed no valid ticket")
            with anyio.fail_after(HEADER_S):
                await stream.send(NOT_ACCEPTED)
            return None
        expectation.claim()
        return expectation

    def _find(self, header: bytes) -> Expectation | None:
        found = None
        for token, expectation in self._expectations.items():  # all of them: the time says nothing about the token
            if hmac.compare_digest(header, MAGIC + token) and expectation.is_open:
                found = expectation
        return found

    async def _receive(self, stream: SocketStream, expectation: Expectation) -> None:
        try:
            await stream.send(ACCEPTED)
            verdict = await _Receiving(stream, expectation.argv, self._stall_s).carry_out()
            if verdict.problem:
                expectation.settle(failed(f"{expectation.purpose}: {verdict.problem}"))
            else:
                expectation.settle(Received(verdict.bytes_count, verdict.words))
            await _tell(stream, verdict)
        except Failed as error:  # the program is not there
            expectation.settle(error)
            await _tell(stream, Verdict(0, -1, error.problem.text, ""))
        finally:
            expectation.settle(failed(f"{expectation.purpose}: it was stopped"))


async def _tell(stream: SocketStream, verdict: Verdict) -> None:
    """Gives the verdict, and reads on until the sender goes: closing with bytes unread is a reset, which can overtake
    it.
    """
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError), anyio.move_on_after(VERDICT_S):
        await stream.send(encode_verdict(verdict))
        await stream.send_eof()
        while True:
            await stream.receive(READ_BYTES)


class _Receiving:
    def __init__(self, stream: SocketStream, argv: Sequence[str], stall_s: float) -> None:
        self._stream = stream
        self._raw = raw_socket(stream)
        self._argv = argv
        self._stall_s = stall_s

    async def carry_out(self) -> Verdict:
        """Runs the program to its end, or kills it when nothing moves."""
        watch_link(self._raw, give_up_s=self._stall_s + KERNEL_GRACE_S)
        with lent_to_a_program(self._raw):
            async with running(self._argv, stdin=self._raw.fileno(), stdout=subprocess.DEVNULL) as program:
                exit_code = await self._end_of(program)
        problem = await self._problem(exit_code, program)
        counts = tcp_counts(self._raw)
        bytes_count = counts.received - counts.unread - HEADER_BYTES - counts.end_received
        return Verdict(bytes_count, -1 if exit_code is None else exit_code, problem, program.words)

    async def _end_of(self, program: StreamProgram) -> int | None:
        """Its exit code; None: nothing moved any more."""
        exit_code: int | None = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await until_stalled(self._consumed, self._limit_s)
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            exit_code = await program.wait()
            tasks.cancel_scope.cancel()
        return exit_code

    async def _problem(self, exit_code: int | None, program: StreamProgram) -> str:
        """Empty: the program is content, and the stream came to its clean end."""
        if exit_code is None:
            return f"nothing moved for {self._limit_s():g} s"
        if exit_code != 0:
            broken_off = "the sender broke it off; " if tcp_counts(self._raw).was_reset else ""
            return broken_off + program.ended(exit_code)
        trailing_bytes = 0
        try:
            with anyio.fail_after(self._stall_s):
                while trailing_bytes <= TRAILING_BYTES_MAX:
                    trailing_bytes += len(await self._stream.receive(READ_BYTES))
        except anyio.EndOfStream:
            return "" if tcp_counts(self._raw).end_received else "the sender broke it off"
        except anyio.BrokenResourceError:
            return "the sender broke it off"
        except TimeoutError:
            return f"the program ended, and the stream did not within {self._stall_s:g} s"
        return "the program stopped reading before the end of the stream"

    def _consumed(self) -> int:
        counts = tcp_counts(self._raw)
        return counts.received - counts.unread

    def _limit_s(self) -> float:
        counts = tcp_counts(self._raw)
        return FINISH_S if counts.end_received and counts.unread == 0 else self._stall_s
