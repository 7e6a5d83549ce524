"""A conversation with Docker over its unix socket: API version, deadlines, and errors in Docker's own words.

What a request means is engine.py's affair; here is only how one is made and how it fails.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, Final

import anyio
from attrs import frozen

from ployz.errors import Code, Failed
from ployz.host.docker.translate import api_version
from ployz.host.http_client import httpx
from ployz.surroundings import SLOWNESS

API_OLDEST: Final = (1, 41)
API_NEWEST: Final = (1, 51)
"""What is spoken is the newest that both sides know: newer engines refuse old versions, and old ones new versions."""

ANSWER_S: Final = 30.0 * SLOWNESS
"""For a request that only reads or writes Docker's books. A busy machine's dockerd can take seconds."""

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""httpx would read the machine's certificates, which takes longer than the request; a unix socket needs none."""


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
        self._client = httpx.AsyncClient(
            base_url="http://docker",  # a Host header that Docker accepts; nothing is looked up
            transport=httpx.AsyncHTTPTransport(uds=socket, verify=_NO_TLS),
            timeout=httpx.Timeout(None, connect=5),  # a whole call has one deadline, below; httpx knows only pauses
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def engine(self) -> Engine:
        """Asked once, and again after the engine has been away: it may come back as another version."""
        if self._engine is None:
            with self.deadline("tell its version", ANSWER_S):
                response = await self._client.get("/version")
            _refuse(response, "tell its version", ())
            self._engine = _negotiate(response.json())
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
        engine = await self.engine()
        with self.deadline(doing, deadline_s):
            response = await self._client.request(method, engine.path(path), params=query, json=body, content=content)
        if response.status_code == HTTPStatus.BAD_REQUEST:
            self._engine = None  # it may have been replaced by one that refuses this version: ask again next time
        _refuse(response, doing, also)
        return Answer(response.status_code, _decoded(response))

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
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """One request whose answer comes piece by piece; read it to its end.

        Leaving in mid-stream would leave httpx's generators to the garbage collector, which trio objects to.
        """
        engine = await self.engine()
        with self.deadline(doing, deadline_s):
            async with self._client.stream(method, engine.path(path), params=query, json=body) as response:
                if response.is_error:
                    await response.aread()
                _refuse(response, doing, ())
                yield response.aiter_raw()

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
        except httpx.ConnectError as error:
            self._engine = None
            raise absent(self.socket, error) from error
        except httpx.TransportError as error:
            self._engine = None
            raise Failed(
                Code.DOCKER_FAILED, f"Docker went away while it was to {doing}: {str(error) or type(error).__name__}"
            ) from error


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


def _refuse(response: httpx.Response, doing: str, also: tuple[int, ...]) -> None:
    if response.status_code < HTTPStatus.BAD_REQUEST or response.status_code in also:
        return
    raise Failed(Code.DOCKER_FAILED, f"Docker could not {doing}: {_message(response)}")


def _message(response: httpx.Response) -> str:
    value = _decoded(response)
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return " ".join(value["message"].split())
    return f"HTTP status {response.status_code}"


def _decoded(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content) if response.content else None
    except ValueError:
        return None
