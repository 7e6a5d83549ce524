"""The sending end: a program writes into the socket, until the receiver says that it has everything.

Whoever fails first, the other end's program is ended too, and the error has the words of both.
"""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import SocketStream

from ployz.errors import Code, PloyzError, Unreachable
from ployz.wire.sockets import lent_to_a_program, raw_socket, tcp_counts, watch_link
from ployz.wire.stream_program import StreamProgram, running, until_stalled
from ployz.wire.streams import (
    ACCEPTED,
    FINISH_S,
    HEADER_BYTES,
    KERNEL_GRACE_S,
    MAGIC,
    TICK_S,
    Sent,
    Ticket,
    VerdictDecoder,
    failed,
)

CONNECT_S = 5.0
VERDICT_GRACE_S = 10.0
"""On top of FINISH_S: the receiver gives up first, and says so."""
_SO_MAX_PACING_RATE = 47
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_START = 1 + HEADER_BYTES
"""What TCP counts before the program's first byte: the connection's start, and the header."""


async def send(
    ticket: Ticket,
    argv: Sequence[str],
    *,
    stall_s: float,
    on_progress: Callable[[int], None] | None = None,
    bytes_per_s: int | None = None,
    source: str | None = None,
) -> Sent:
    """Runs `argv` with its standard output going to the ticket's receiver; returns when that has everything.

    `on_progress` gets the bytes that the other machine has acknowledged, four times a second. `bytes_per_s` None:
    as fast as it goes. `source`: the local address to connect from. Raises `Unreachable` with MACHINE_UNREACHABLE
    (nothing was sent) and `Failed` with STREAM_FAILED, saying how far it came and which side failed with which words.
    Nothing is left running, cancelled or not.
    """
    began_s = anyio.current_time()
    async with _connected(ticket, source, stall_s) as raw:
        if bytes_per_s is not None:
            raw.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, struct.pack("Q", bytes_per_s))
        with lent_to_a_program(raw):
            async with running(argv, stdin=subprocess.DEVNULL, stdout=raw.fileno()) as program:
                sent_bytes = await _Sending(raw, program, stall_s).carry_out(on_progress or _nobody)
    return Sent(sent_bytes, round((anyio.current_time() - began_s) * 1000))


@asynccontextmanager
async def _connected(ticket: Ticket, source: str | None, stall_s: float) -> AsyncIterator[socket.socket]:
    """A socket whose receiver accepted the ticket. Leaving with an error resets the connection."""
    where = f"[{ticket.address}]:{ticket.port}"
    try:
        with anyio.fail_after(CONNECT_S):
            stream = await anyio.connect_tcp(ticket.address, ticket.port, local_host=source)
    except (OSError, TimeoutError) as error:
        text = f"the stream to {where} could not be opened: {str(error) or f'no answer within {CONNECT_S:g} s'}"
        raise Unreachable(Code.MACHINE_UNREACHABLE, text) from error
    async with stream:
        raw = raw_socket(stream)
        await _show(ticket, stream, where, stall_s)
        try:
            yield raw
        except BaseException:
            # Not the clean end that means success: the receiving program must not take what came for the whole.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            raise


async def _show(ticket: Ticket, stream: SocketStream, where: str, stall_s: float) -> None:
    try:
        watch_link(raw_socket(stream), give_up_s=stall_s + KERNEL_GRACE_S)
        with anyio.fail_after(CONNECT_S):
            await stream.send(MAGIC + ticket.token)
            answer = await stream.receive(1)
    except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise failed(f"the receiver at {where} did not answer the ticket") from error
    if answer != ACCEPTED:
        raise failed(f"the receiver at {where} does not take this ticket: it was used, has expired, or is not its")


def _nobody(sent_bytes: int) -> None:
    """Nobody wants to hear of progress."""


class _Sending:
    def __init__(self, raw: socket.socket, program: StreamProgram, stall_s: float) -> None:
        self._raw = raw
        self._program = program
        self._stall_s = stall_s
        self._verdict = VerdictDecoder()
        self._sent_bytes = 0
        self._received_bytes: int | None = None
        self._problem: PloyzError | None = None
        """Why it failed; None until it did. The first reason stands."""

    async def carry_out(self, on_progress: Callable[[int], None]) -> int:
        """The bytes that both sides agree on. Ends when the verdict is there, or at the first failure."""
        async with anyio.create_task_group() as self._tasks:
            for part in (self._run_program, self._await_verdict, self._watch_stall):
                self._tasks.start_soon(part)
            self._tasks.start_soon(self._report, on_progress)
        if self._problem is not None:
            raise self._problem
        # The verdict came after our end of stream was acknowledged: that end is one more in TCP's count.
        sent_bytes = tcp_counts(self._raw).acknowledged - _START - 1
        if self._received_bytes != sent_bytes:
            raise failed(f"{sent_bytes} bytes were sent, and the receiver took {self._received_bytes}")
        on_progress(sent_bytes)
        return sent_bytes

    async def _run_program(self) -> None:
        exit_code = await self._program.wait()
        if exit_code != 0:
            self._read_verdict()  # a receiver that failed first is why this program could not write
            return self._fail(self._program.ended(exit_code))
        with suppress(OSError):  # broken already: whoever waits for the verdict is told so
            self._raw.shutdown(socket.SHUT_WR)
        return None

    async def _await_verdict(self) -> None:
        while True:
            await anyio.wait_readable(self._raw)
            self._read_verdict()

    def _read_verdict(self) -> None:
        """Takes in what the receiver has said so far, without waiting although the socket is lent and blocking."""
        try:
            while data := self._raw.recv(4096, socket.MSG_DONTWAIT):
                self._verdict.feed(data)
                verdict = self._verdict.take()
                if verdict is not None and verdict.problem:
                    return self._fail(f"the receiver failed: {verdict.problem}")
                if verdict is not None:
                    self._received_bytes = verdict.bytes_count
                    return self._tasks.cancel_scope.cancel()
            self._fail("the receiver broke it off without a word")
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(f"the connection broke: {error.strerror}")
        except PloyzError as error:
            self._fail(error.problem.text)

    async def _watch_stall(self) -> None:
        def limit_s() -> float:
            return FINISH_S + VERDICT_GRACE_S if tcp_counts(self._raw).end_acknowledged else self._stall_s

        await until_stalled(self._acknowledged, limit_s)
        self._fail(f"nothing moved for {limit_s():g} s")

    async def _report(self, on_progress: Callable[[int], None]) -> None:
        while True:
            await anyio.sleep(TICK_S)
            on_progress(self._acknowledged())

    def _acknowledged(self) -> int:
        counts = tcp_counts(self._raw)
        self._sent_bytes = max(self._sent_bytes, counts.acknowledged - _START - counts.end_acknowledged)
        return self._sent_bytes

    def _fail(self, why: str) -> None:
        if self._problem is None:
            self._problem = failed(f"the stream failed after {self._acknowledged()} bytes: {why}")
        self._tasks.cancel_scope.cancel()
