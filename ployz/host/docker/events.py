"""Docker's news, as one long answer that never ends by itself.

Not over httpx: its streams are async generators, which trio cannot clean up when a reader leaves in mid-stream.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self
from urllib.parse import urlencode

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from ployz.errors import Code, Failed
from ployz.host.docker.connection import ANSWER_S, Engine, absent
from ployz.host.docker.translate import EVENT_FILTER, container_event
from ployz.host.ports import ContainerEvent

_LINE_BYTES_MAX: Final = 1024 * 1024
"""An event carries every label of its container."""


class _News:
    def __init__(self, lines: BufferedByteReceiveStream) -> None:
        self._lines = lines

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ContainerEvent:
        while True:
            try:
                line = await self._lines.receive_until(b"\n", _LINE_BYTES_MAX)
            except (anyio.IncompleteRead, anyio.BrokenResourceError):
                raise StopAsyncIteration from None
            event = container_event(json.loads(line))
            if event is not None:
                return event


@asynccontextmanager
async def subscribe(socket: str, engine: Engine) -> AsyncIterator[AsyncIterator[ContainerEvent]]:
    """The news from now on, until Docker goes away. There is no other deadline: silence is no failure here."""
    since = _now()
    try:
        stream = await anyio.connect_unix(socket)
    except OSError as error:
        raise absent(socket, error) from error
    async with stream:
        lines = BufferedByteReceiveStream(stream)
        query = urlencode({"since": since, "filters": EVENT_FILTER})
        # HTTP/1.0, so that the answer is not cut into chunks: its lines come as they are, up to the end.
        await stream.send(f"GET {engine.path('/events')}?{query} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        await _begin(lines)
        yield _News(lines)


def _now() -> str:
    """Docker answers before it listens to its own news; asked for a time, it hands over what fell into between.

    The wall clock is the right one here: Docker compares it with its own, which is the same.
    """
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{seconds}.{nanoseconds:09d}"


async def _begin(lines: BufferedByteReceiveStream) -> None:
    """Reads the head of the answer."""
    try:
        with anyio.fail_after(ANSWER_S):
            head = await lines.receive_until(b"\r\n\r\n", _LINE_BYTES_MAX)
    except (anyio.IncompleteRead, anyio.BrokenResourceError) as error:
        raise Failed(Code.DOCKER_FAILED, "Docker went away while it was to tell its news") from error
    except TimeoutError as error:
        raise Failed(Code.TIMED_OUT, f"Docker did not begin to tell its news within {ANSWER_S:g} s") from error
    status = head.split(b"\r\n", 1)[0]
    if status.split()[1:2] != [b"200"]:
        raise Failed(Code.DOCKER_FAILED, f"Docker could not tell its news: {status.decode(errors='replace')}")
