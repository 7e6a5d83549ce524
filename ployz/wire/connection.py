"""One connection of a server: the hellos, its requests side by side, and how much it may send, by whose it is.

What is wrong with it ends it alone, and is told to the log.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from typing import Any, Final, Protocol

import anyio
from anyio.abc import ByteStream
from attrs import frozen

from ployz.errors import Code, Failed, PloyzError, Refused
from ployz.wire.admission import Admission, allowance_of
from ployz.wire.aside import Aside
from ployz.wire.codec import decode_message, encode_reply
from ployz.wire.frames import BadFrame
from ployz.wire.message import Message, Peer, Sender, is_trusted
from ployz.wire.repeats import Repeats
from ployz.wire.session import Frame, Hello, Identity, Ping, Pong, Refusal, Reply, Request, Role, Session, State
from ployz.wire.sockets import raw_socket
from ployz.wire.tls import GONE, in_words

HELLO_S = 5.0
"""For the TLS handshake, and again to the end of the hello."""
FRAME_S = 30.0
"""From the first byte of a frame to its last."""
WRITE_S = 20.0
"""One frame, to a side that reads slowly."""
READ_BYTES = 64 << 10
INLINE_BYTES_MAX: Final = 1 << 10
"""A request of this length is read on the loop, in a millisecond at worst. Of members every one: they are believed."""

_log = logging.getLogger("ployz.wire")


class Deliver(Protocol):
    """Where requests go: `ActorSystem.deliver`."""

    async def __call__(self, to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any: ...


Greet = Callable[[ByteStream, Hello], Sender]
"""Who the client is, or raises `Refused`."""


@frozen
class Manner:
    """How a listener treats its connections."""

    identity: Callable[[], Identity]
    deliver: Deliver
    aside: Aside
    admission: Admission
    warnings: Repeats
    silence_s: float
    """Nothing came for this long: the client is gone, or has nothing to ask."""
    silent_while_waiting: bool = False
    """It may be silent while a request of it is not answered yet: it does not ping."""


class Connection:
    def __init__(self, manner: Manner, stream: ByteStream, greet: Greet) -> None:
        self._manner = manner
        self._stream = stream
        self._greet = greet
        self._session = Session(Role.SERVER)
        self._writing = anyio.Lock()
        self._waiting_bytes = 0
        """Of requests that are not answered yet."""
        self._budget = manner.admission.budget(trusted=False)
        self._requests_left = inf
        self._active_s = 0.0
        """When something last came, or went back."""

    async def serve(self) -> None:
        """Until the client goes, or must go. What its requests began in an actor goes on without it."""
        sender: Sender | None = None
        try:
            with logged(self._manner.warnings, stranger(self._stream)):
                sender = await self._hello()
            if sender is None:
                return
            async with anyio.create_task_group() as requests:
                with logged(self._manner.warnings, str(sender)):
                    while self._requests_left and (frame := await self._next_frame()) is not None:
                        match frame:
                            case Request():
                                self._requests_left -= 1
                                self._waiting_bytes += len(frame.body)
                                requests.start_soon(self._answer, frame, sender)
                            case Ping():
                                await self._send(Pong())
                            case _:
                                pass
                if self._requests_left:
                    requests.cancel_scope.cancel()
        finally:
            self._budget.hold(self, 0)

    async def _hello(self) -> Sender | None:
        try:
            with anyio.fail_after(HELLO_S):
                hello = await self._next_frame()
            if not isinstance(hello, Hello):
                return None
            sender = self._greet(self._stream, hello)
        except BadFrame:
            raise  # whoever this is speaks something else
        except Refused as error:
            if self._session.state is State.CLOSED:  # by a hello of another version, say: it may still be told
                self._session = Session(Role.SERVER)
            await self._send(Refusal.of(0, error))
            raise
        allowance = allowance_of(sender)
        self._session.allow(allowance.frame_bytes_max, allowance.in_flight_max)
        self._requests_left = inf if allowance.requests_max is None else allowance.requests_max
        self._budget.hold(self, 0)
        self._budget = self._manner.admission.budget(trusted=is_trusted(sender))
        await self._send(self._manner.identity().hello())
        return sender

    async def _next_frame(self) -> Frame | None:
        """None: the client closed. TimeoutError: it stalled. What it sent wrongly raises `Refused`."""
        self._active_s = anyio.current_time()
        frame_began_s: float | None = None
        while (frame := self._session.next_frame()) is None:
            if self._session.is_inside_frame and frame_began_s is None:
                frame_began_s = anyio.current_time()
            with anyio.move_on_after(self._patience_s(frame_began_s)):
                try:
                    data = await self._stream.receive(READ_BYTES)
                except anyio.EndOfStream:
                    self._session.end()
                    return None
                self._active_s = anyio.current_time()
                self._session.feed(data)
                self._hold()
        return frame

    def _patience_s(self, frame_began_s: float | None) -> float:
        """How long to wait until this is asked again. TimeoutError: it was silent, or inside of a frame, too long."""
        now_s = anyio.current_time()
        frame_s = inf if frame_began_s is None else frame_began_s + FRAME_S - now_s
        silence_s = self._active_s + self._manner.silence_s - now_s
        if self._session.in_flight and self._manner.silent_while_waiting:
            silence_s = self._manner.silence_s
        if min(frame_s, silence_s) <= 0:
            raise TimeoutError
        return min(frame_s, silence_s)

    def _hold(self) -> None:
        self._budget.hold(self, self._session.buffered_bytes + self._waiting_bytes)

    async def _answer(self, request: Request, sender: Sender) -> None:
        answer: Reply | Refusal
        try:
            message = await self._read(request, sender)
            reply = await self._manner.deliver(request.to, message, sender, timeout_s=request.timeout_ms / 1000)
            answer = Reply(request.id, encode_reply(reply))
        except PloyzError as error:
            answer = Refusal.of(request.id, error)
        except Exception as error:  # noqa: BLE001 - whatever is behind `deliver`, the other connections go on
            _log.error("%s for %s met a bug", request.tag, sender, exc_info=error)
            answer = Refusal.of(request.id, Failed(Code.BUG, f"{request.tag}: {type(error).__name__}: {error}"))
        await self._send(answer)
        self._active_s = anyio.current_time()
        self._waiting_bytes -= len(request.body)
        with suppress(Refused):  # others hold the rest: the next that it sends is refused, not what was answered
            self._hold()

    async def _read(self, request: Request, sender: Sender) -> Message[Any]:
        if isinstance(sender, Peer) or len(request.body) <= INLINE_BYTES_MAX:
            return decode_message(request.tag, request.body)
        work = partial(decode_message, request.tag, request.body)
        return await self._manner.aside.run(work, for_stranger=not is_trusted(sender))

    async def _send(self, frame: Frame) -> None:
        """One frame, whole. A client that does not take it is cut off, and the reading side sees that."""
        async with self._writing:
            if self._session.state is State.CLOSED:
                return
            try:
                data = self._session.send(frame)
            except Refused as error:  # a reply that is longer than a frame may be
                if not isinstance(frame, Reply):
                    raise
                data = self._session.send(Refusal.of(frame.id, Failed(error.code, error.problem.text)))
            try:
                with anyio.fail_after(WRITE_S):
                    await self._stream.send(data)
            except (TimeoutError, *GONE):
                await anyio.aclose_forcefully(self._stream)


async def turn_away(stream: ByteStream, error: Refused) -> None:
    """Says why, to who reads it at once, and closes."""
    with anyio.move_on_after(0.1):
        try:
            await stream.send(Session(Role.SERVER).send(Refusal.of(0, error)))
        except GONE:
            return


@contextmanager
def logged(warnings: Repeats, who: str) -> Iterator[None]:
    """What ends one connection is told to the log, and to nobody else."""
    try:
        yield
    except TimeoutError:
        warnings.warn(f"{who} stalled", f"{who} was dropped: it stalled")
    except ssl.SSLError as error:
        warnings.warn(f"{who} spoke no TLS", f"{who} was dropped: {in_words(error)}")
    except (*GONE, OSError):
        _log.debug("%s went away in the middle of something", who)
    except Refused as error:
        warnings.warn(f"{who} {error.code}", f"{who} was dropped: {error}")


def stranger(stream: ByteStream) -> str:
    """The log's only trace of a client that was never let in."""
    try:
        name = raw_socket(stream).getpeername()
    except OSError:
        return "a client that is gone, and was not let in,"
    where = f"at {name[0]}" if isinstance(name, tuple) else "of the operator's socket"
    return f"a client {where}, which was not let in,"
