"""One request to Docker and its answer: HTTP/1.1 by h11, over a connection to the engine's socket that nobody shares.

A connection of its own costs a unix socket less than a pool does, and no answer can be left half read in one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final, Self

import anyio
import h11
from anyio.abc import ByteStream
from attrs import define, field, frozen

from ployz.surroundings import SLOWNESS

_RECEIVE_BYTES: Final = 64 * 1024
_CONNECT_S: Final = 5.0 * SLOWNESS
_HOST: Final = ("Host", "docker")
"""What Docker accepts of a client on its socket; nothing is looked up."""


class NotConnected(Exception):
    """Nobody listens at the socket: nothing was asked."""


class Broken(Exception):
    """It hung up in the middle, or what it said is no HTTP."""


@frozen
class Request:
    method: str
    target: str
    """Path and query."""
    content: bytes = b""
    content_type: str = ""
    """Empty: there is no content."""


@define
class Exchange:
    """What it says comes piece by piece, by iterating; it may be left at any time."""

    _stream: ByteStream
    _http: h11.Connection
    status: int = field(default=0, init=False)

    @property
    def is_error(self) -> bool:
        return self.status >= HTTPStatus.BAD_REQUEST

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        event = await self._next()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """The rest of it."""
        return b"".join([piece async for piece in self])

    async def begin(self, request: Request) -> None:
        """Asks, and reads the head of the answer."""
        headers = [_HOST, ("Connection", "close")]
        if request.content_type:
            headers += [("Content-Type", request.content_type), ("Content-Length", str(len(request.content)))]
        head = h11.Request(method=request.method, target=request.target, headers=headers)
        parts = [self._http.send(head), self._http.send(h11.Data(request.content)), self._http.send(h11.EndOfMessage())]
        with suppress(anyio.BrokenResourceError):  # it may have answered before it had read all
            await self._stream.send(b"".join(filter(None, parts)))
        while not isinstance(event := await self._next(), h11.Response):
            pass  # an informational one
        self.status = event.status_code

    async def _next(self) -> h11.Event:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise Broken(str(error)) from error
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._received())
            elif isinstance(event, h11.Event):
                return event
            else:
                raise Broken("it said more than an answer")

    async def _received(self) -> bytes:
        """Empty: it hung up."""
        try:
            return await self._stream.receive(_RECEIVE_BYTES)
        except anyio.EndOfStream:
            return b""
        except anyio.BrokenResourceError as error:
            raise Broken(str(error) or "the connection was reset") from error


@asynccontextmanager
async def exchange(socket: str, request: Request) -> AsyncIterator[Exchange]:
    """`NotConnected`; `Broken`, also from reading. Waits for ever: who asks has a limit."""
    try:
        with anyio.fail_after(_CONNECT_S):
            stream = await anyio.connect_unix(socket)
    except TimeoutError as error:
        raise NotConnected("it takes no connection") from error
    except OSError as error:
        raise NotConnected(str(error)) from error
    async with stream:
        answer = Exchange(stream, h11.Connection(h11.CLIENT))
        await answer.begin(request)
        yield answer
