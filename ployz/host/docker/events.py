"""Docker's news, as one long answer that never ends by itself."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import urlencode

import anyio

from ployz.errors import Code, Failed
from ployz.host.docker.connection import ANSWER_S, Engine, absent
from ployz.host.docker.exchange import Broken, Exchange, NotConnected, Request, exchange
from ployz.host.docker.translate import EVENT_FILTER, container_event
from ployz.host.ports import ContainerEvent

_LINE_BYTES_MAX: Final = 1024 * 1024
"""An event carries every label of its container."""


class _News:
    def __init__(self, answer: Exchange) -> None:
        self._answer = answer
        self._lines: list[bytes] = []
        self._rest = b""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ContainerEvent:
        while True:
            while not self._lines:
                await self._more()
            event = container_event(json.loads(self._lines.pop(0)))
            if event is not None:
                return event

    async def _more(self) -> None:
        try:
            piece = await anext(self._answer)
        except Broken:
            raise StopAsyncIteration from None
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._lines = [each for each in lines if each.strip()]
        if len(self._rest) > _LINE_BYTES_MAX:
            raise StopAsyncIteration


@asynccontextmanager
async def subscribe(socket: str, engine: Engine) -> AsyncIterator[AsyncIterator[ContainerEvent]]:
    """The news from now on, until Docker goes away. There is no other deadline: silence is no failure here."""
    query = urlencode({"since": _now(), "filters": EVENT_FILTER})
    try:
        with anyio.CancelScope(deadline=anyio.current_time() + ANSWER_S) as beginning:
            async with exchange(socket, Request("GET", f"{engine.path('/events')}?{query}")) as answer:
                if answer.status != HTTPStatus.OK:
                    raise Failed(Code.DOCKER_FAILED, f"Docker could not tell its news: HTTP status {answer.status}")
                beginning.deadline = float("inf")
                yield _News(answer)
    except NotConnected as error:
        raise absent(socket, error) from error
    except Broken as error:
        raise Failed(Code.DOCKER_FAILED, "Docker went away while it was to tell its news") from error
    if beginning.cancelled_caught:
        raise Failed(Code.TIMED_OUT, f"Docker did not begin to tell its news within {ANSWER_S:g} s")


def _now() -> str:
    """Docker answers before it listens to its own news; asked for a time, it hands over what fell into between.

    The wall clock is the right one here: Docker compares it with its own, which is the same.
    """
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{seconds}.{nanoseconds:09d}"
