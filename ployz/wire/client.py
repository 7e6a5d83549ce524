"""The other machines, as clients of their servers: one connection a machine, shared by every ask.

It is opened by the first ask that needs it, and again by the next ask after it broke.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

import anyio
from anyio.abc import ByteStream
from attrs import frozen

from ployz.errors import Code, PloyzError, Refused, Unreachable
from ployz.ids import Certificate, MachineId
from ployz.wire.codec import decode_reply, encode
from ployz.wire.message import Message
from ployz.wire.session import Frame, Hello, Identity, Ping, Pong, Refusal, Reply, Request, Role, Session
from ployz.wire.sockets import raw_socket, watch_link
from ployz.wire.tls import GONE, MachineTls, in_words

CONNECT_S = 4.0
"""TCP connection, TLS handshake and both hellos."""
PING_S = 3.0
"""How often an idle connection is tried."""
SILENCE_S = 9.0
"""A connection on which nothing came for this long, pings and all, is lost."""
RETRY_MIN_S, RETRY_MAX_S = 0.2, 3.0
"""After a failed connection, asks fail at once for this long; doubles with each failure."""
READ_BYTES = 64 << 10

R = TypeVar("R")

_log = logging.getLogger("ployz.wire")

Locate = Callable[[MachineId], tuple[str, int] | None]
"""The overlay address and port of a machine's server; None: unknown machine."""


class PeerClient:
    """`async with PeerClient(identity, locate, tls) as peers: await peers.ask(machine, "volume/…", message, …)`.

    `source`: the local address to connect from, this machine's overlay address: the other side checks it.
    """

    def __init__(
        self, identity: Callable[[], Identity], locate: Locate, tls: MachineTls, *, source: str | None = None
    ) -> None:
        self._identity = identity
        self._locate = locate
        self._tls = tls
        self._source = source
        self._links: dict[MachineId, _Link] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    async def ask(self, machine: MachineId, to: str, message: Message[R], *, timeout_s: float) -> R:
        """The reply of the actor `to` on `machine`, or its refusal raised as the class it had there.

        `Unreachable`: MACHINE_UNREACHABLE (never sent), OUTCOME_UNKNOWN (the connection broke), TIMED_OUT.
        """
        body = encode(message)
        try:
            with anyio.fail_after(timeout_s):
                connection = await self._connection(machine)
                answer = await connection.request(to, message.tag, body, timeout_s)
        except TimeoutError:
            text = f"{to} on {machine} did not answer {message.tag} within {timeout_s:g} s: it may or may not be done"
            raise Unreachable(Code.TIMED_OUT, text) from None
        return decode_reply(message, answer)

    def end_strangers(self) -> None:
        """Ends the connections to machines that are no members with that key any more."""
        for machine, link in self._links.items():
            if link.connection is not None and not self._tls.is_trusted(machine, link.connection.certificate):
                link.connection.end("it is no member of the cluster any more")

    async def _connection(self, machine: MachineId) -> _Connection:
        link = self._links.setdefault(machine, _Link())
        async with link.connecting:
            if link.connection is not None and not link.connection.is_lost:
                return link.connection
            if anyio.current_time() < link.retry_at_s:
                raise Unreachable(Code.MACHINE_UNREACHABLE, link.why)
            try:
                with anyio.fail_after(CONNECT_S):
                    link.connection = await self._connect(machine)
            except (OSError, TimeoutError, *GONE) as error:
                words = f"no answer within {CONNECT_S:g} s" if isinstance(error, TimeoutError) else _words(error)
                link.failed(f"{machine} cannot be reached: {words}", anyio.current_time())
                raise Unreachable(Code.MACHINE_UNREACHABLE, link.why) from None
            link.pause_s = RETRY_MIN_S
            self._tasks.start_soon(link.connection.run)
            return link.connection

    async def _connect(self, machine: MachineId) -> _Connection:
        place = self._locate(machine)
        if place is None:
            raise Refused(Code.UNKNOWN_MACHINE, f"{machine} is no machine of this cluster, as far as this one knows")
        stream = await anyio.connect_tcp(*place, local_host=self._source)
        try:
            watch_link(raw_socket(stream), give_up_s=SILENCE_S)
            connection = _Connection(machine, *await self._tls.connect(stream, machine))
            await connection.greet(self._identity())
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise
        return connection


class _Link:
    """What is known of the way to one machine."""

    def __init__(self) -> None:
        self.connecting = anyio.Lock()
        self.connection: _Connection | None = None
        self.retry_at_s = float("-inf")
        self.pause_s = RETRY_MIN_S
        self.why = ""

    def failed(self, why: str, now_s: float) -> None:
        self.why = why
        self.retry_at_s = now_s + self.pause_s
        self.pause_s = min(RETRY_MAX_S, self.pause_s * 2)


@frozen(eq=False)
class _Pending:
    """A request whose answer is awaited."""

    done: anyio.Event
    answers: list[Reply | PloyzError]


class _Connection:
    def __init__(self, machine: MachineId, stream: ByteStream, certificate: Certificate) -> None:
        self.certificate = certificate
        self._machine = machine
        self._stream = stream
        self._session = Session(Role.CLIENT)
        self._writing = anyio.Lock()
        self._pending: dict[int, _Pending] = {}
        self._scope = anyio.CancelScope()
        self._why = "this node stops"
        self.is_lost = False

    async def greet(self, me: Identity) -> None:
        """Both hellos. Raises the server's refusal, or `Refused` when another machine answers at that address."""
        await self._stream.send(self._session.send(me.hello()))
        frame = await self._next_frame()
        if isinstance(frame, Refusal):
            raise frame.to_error()
        if isinstance(frame, Hello) and frame.machine != self._machine:
            text = f"{frame.machine[:80]} answers at the address of {self._machine}"
            raise Refused(Code.WRONG_ADDRESS, text)

    async def request(self, to: str, tag: str, body: bytes, timeout_s: float) -> bytes:
        pending = _Pending(anyio.Event(), [])
        async with self._writing:
            if self.is_lost:
                raise Unreachable(Code.MACHINE_UNREACHABLE, f"the connection to {self._machine} is lost")
            number = self._session.next_id()
            data = self._session.send(Request(number, to, tag, int(timeout_s * 1000), body))
            self._pending[number] = pending
            # Half a frame would end the connection for everyone: what was begun is written, or the connection closed.
            with anyio.CancelScope(shield=True):
                await self._write(data)
        await pending.done.wait()
        answer = pending.answers[0]
        if isinstance(answer, PloyzError):
            raise answer
        return answer.body

    async def run(self) -> None:
        """Reads answers until the connection ends; then everyone who waits is told so."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._ping)
                    self._why = await self._read()
                    tasks.cancel_scope.cancel()
        finally:
            self._lose(self._why)
            await anyio.aclose_forcefully(self._stream)

    def end(self, why: str) -> None:
        self._why = why
        self._scope.cancel()

    async def _read(self) -> str:
        """Why the connection ended."""
        try:
            while True:
                with anyio.fail_after(SILENCE_S):
                    frame = await self._next_frame()
                match frame:
                    case Reply(id=number):
                        self._settle(number, frame)
                    case Refusal(id=0):
                        return str(frame.to_error())
                    case Refusal(id=number):
                        self._settle(number, frame.to_error())
                    case Ping():
                        async with self._writing:
                            await self._write(self._session.send(Pong()))
                    case _:
                        pass
        except TimeoutError:
            return f"nothing came for {SILENCE_S:g} s"
        except GONE as error:
            return _words(error)
        except Refused as error:  # bytes that are no legal frame
            _log.warning("the connection to %s was given up: %s", self._machine, error)
            return str(error)

    async def _next_frame(self) -> Frame:
        while (frame := self._session.next_frame()) is None:
            self._session.feed(await self._stream.receive(READ_BYTES))
        return frame

    async def _ping(self) -> None:
        while not self.is_lost:
            await anyio.sleep(PING_S)
            async with self._writing:
                if not self.is_lost:
                    await self._write(self._session.send(Ping()))

    async def _write(self, data: bytes) -> None:
        """Whole, within SILENCE_S; else the connection is closed, and `_read` tells everyone."""
        try:
            with anyio.fail_after(SILENCE_S):
                await self._stream.send(data)
        except (TimeoutError, *GONE):
            await anyio.aclose_forcefully(self._stream)

    def _settle(self, number: int, answer: Reply | PloyzError) -> None:
        pending = self._pending.pop(number, None)
        if pending is not None:
            pending.answers.append(answer)
            pending.done.set()

    def _lose(self, why: str) -> None:
        self.is_lost = True
        for number in list(self._pending):
            text = f"the connection to {self._machine} was lost before it answered ({why}): it may or may not be done"
            self._settle(number, Unreachable(Code.OUTCOME_UNKNOWN, text))


def _words(error: Exception) -> str:
    if isinstance(error, anyio.EndOfStream):
        return "it closed the connection"
    if isinstance(error, ssl.SSLError):
        return in_words(error)
    cause: BaseException = error
    while cause.__cause__ is not None:  # anyio's and trio's sentences stand around what the system said
        cause = cause.__cause__
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return str(error) or str(cause) or "the connection broke"
