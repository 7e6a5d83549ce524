"""A conversation with Docker over its unix socket: API version, deadlines, and errors in Docker's own words.

What a request means is engine.py's affair; here is only how one is made and how it fails.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import anyio
from attrs import frozen

from ployz.errors import Code, Failed
from ployz.host.docker.exchange import Broken, Exchange, NotConnected, Request, exchange
from ployz.host.docker.translate import api_version
from ployz.surroundings import SLOWNESS

API_OLDEST: Final = (1, 41)
API_NEWEST: Final = (1, 51)
"""What is spoken is the newest that both sides know: newer engines refuse old versions, and old ones new versions."""

ANSWER_S: Final = 30.0 * SLOWNESS
"""For a request that only reads or writes Docker's books. A busy machine's dockerd can take seconds."""


@frozen
class Engine:
    """Who answers at the socket."""

    version: str
    api: tuple[int, int]
    """What is spoken with it."""

    def path(self, path: str) -> str:
        return f"/v{self.api[0]}.{self.api[1]}{path}"


@frozen
class Answer:
    status: int
    value: Any
    """The decoded JSON; None when there was none."""


class Connection:
    def __init__(self, socket: str) -> None:
        self.socket = socket
        self._engine: Engine | None = None

    async def engine(self) -> Engine:
        """Asked once, and again after the engine has been away: it may come back as another version."""
        if self._engine is None:
            doing = "tell its version"
            with self.deadline(doing, ANSWER_S):
                status, said = await self._asked(Request("GET", "/version"))
            _refuse(status, said, doing, ())
            self._engine = _negotiate(_decoded(said))
        return self._engine

    async def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        also: tuple[int, ...] = (),
        deadline_s: float = ANSWER_S,
    ) -> Answer:
        """One request, with JSON or with `content`. `doing` completes "Docker could not …"; `also` are statuses that
        are answers, not errors.
        """
        request = _request(method, (await self.engine()).path(path), query, body, content)
        with self.deadline(doing, deadline_s):
            status, said = await self._asked(request)
        if status == HTTPStatus.BAD_REQUEST:
            self._engine = None  # it may have been replaced by one that refuses this version: ask again next time
        _refuse(status, said, doing, also)
        return Answer(status, _decoded(said))

    async def _asked(self, request: Request) -> tuple[int, bytes]:
        async with exchange(self.socket, request) as answer:
            return answer.status, await answer.read()

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        deadline_s: float,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Exchange]:
        """One request whose answer comes piece by piece."""
        request = _request(method, (await self.engine()).path(path), query, body, None)
        with self.deadline(doing, deadline_s):
            async with exchange(self.socket, request) as answer:
                if answer.is_error:
                    _refuse(answer.status, await answer.read(), doing, ())
                yield answer

    @contextmanager
    def deadline(self, doing: str, deadline_s: float) -> Iterator[None]:
        """Around requests: what they may take together, and their failures in words."""
        try:
            with anyio.fail_after(deadline_s):
                yield
        except TimeoutError as error:
            raise Failed(
                Code.TIMED_OUT,
                f"Docker could not {doing} within {deadline_s:g} s",
                "Whether it took effect is not known: look before you repeat it.",
            ) from error
        except NotConnected as error:
            self._engine = None
            raise absent(self.socket, error) from error
        except Broken as error:
            self._engine = None
            raise Failed(Code.DOCKER_FAILED, f"Docker went away while it was to {doing}: {error}") from error


def absent(socket: str, error: Exception) -> Failed:
    return Failed(
        Code.MISSING_PART,
        f"Docker does not answer at {socket}: {error}",
        "Start it with `systemctl start docker`, or install docker.io 20.10 or newer.",
    )


def _negotiate(value: Mapping[str, Any]) -> Engine:
    newest, oldest = api_version(value["ApiVersion"]), api_version(value.get("MinAPIVersion", "1.12"))
    spoken = min(newest, API_NEWEST)
    if spoken < API_OLDEST or spoken < oldest:
        raise Failed(
            Code.MISSING_PART,
            f"Docker {value['Version']} speaks the API from {value.get('MinAPIVersion')} to {value['ApiVersion']}; "
            f"ployz speaks 1.{API_OLDEST[1]} to 1.{API_NEWEST[1]}",
            "Install a Docker between 20.10 and the newest that this version of ployz names.",
        )
    return Engine(value["Version"], spoken)


def _request(
    method: str,
    path: str,
    query: Mapping[str, str | int] | None,
    body: Mapping[str, Any] | None,
    content: bytes | None,
) -> Request:
    target = f"{path}?{urlencode(query)}" if query else path
    if body is not None:
        return Request(method, target, json.dumps(body).encode(), "application/json")
    if content is not None:
        return Request(method, target, content, "application/x-tar")
    return Request(method, target)


def _refuse(status: int, said: bytes, doing: str, also: tuple[int, ...]) -> None:
    if status >= HTTPStatus.BAD_REQUEST and status not in also:
        raise Failed(Code.DOCKER_FAILED, f"Docker could not {doing}: {_message(status, said)}")


def _message(status: int, said: bytes) -> str:
    value = _decoded(said)
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return " ".join(value["message"].split())
    return f"HTTP status {status}"


def _decoded(said: bytes) -> Any:
    try:
        return json.loads(said) if said else None
    except ValueError:
        return None
