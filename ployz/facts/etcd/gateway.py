"""A conversation with etcd over its JSON gateway: which member is asked, how long, as whom, and what no answer means.

What a request means is for the callers. The one rule here: what must not be done twice is sent to one member, once, and
to the next one only when the first was surely not reached.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Self

import anyio

from ployz.errors import Code, Refused, Unreachable
from ployz.facts.etcd.access import EtcdAccess
from ployz.facts.etcd.forms import Json
from ployz.host.http_client import httpx

CONNECT_S: Final = 2.0
READ_S: Final = 3.0
"""For one member's answer to a read. A member that is frozen accepts connections and says nothing at all."""
WRITE_S: Final = 4.0
"""Long enough for the election of a new leader, 1 to 2 s. What was on its way to the old one is lost, and etcd itself
would say so only after 7 s."""
HEARD_S: Final = 2.0
"""A member that has answered within so long is believed to be there. One that lost its power tells nobody: connections
to it stay open, and what is sent on them has an unknown outcome."""
WATCH_PAUSE_S: Final = 0.25
"""After a watch that ended by itself: the read that follows may succeed at once, and the next watch fail again."""

_INVALID, _UNAUTHENTICATED = 3, 16
_SURELY_NOTHING: Final = frozenset({_INVALID, 5, 7, 8, 9, 12, _UNAUTHENTICATED})
"""gRPC codes of an etcd that refused before it did anything: invalid argument, not found, permission denied, resource
exhausted, failed precondition, unimplemented, unauthenticated. After any other the outcome is unknown."""


class Declined(Exception):
    """etcd answered, and did nothing. `code` is gRPC's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _NotSent(Exception):
    """No connection: nothing has arrived."""


class _NoAnswer(Exception):
    """It may have arrived, and may have been done."""


class _Body(httpx.AsyncByteStream):
    """A request's content. httpx's own are async generators, which trio objects to when one is left in the middle."""

    def __init__(self, content: bytes) -> None:
        self._chunks = iter((content,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class Gateway:
    def __init__(self, access: EtcdAccess) -> None:
        self.access = access
        self._first = 0
        self._token: str | None = None
        self._heard_s: dict[str, float] = {}
        self._client = httpx.AsyncClient(
            verify=access.tls(),
            timeout=httpx.Timeout(None, connect=CONNECT_S),  # a whole call has one deadline; httpx knows only pauses
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=60),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._client.aclose()

    # ------------------------------------------------------------ asking

    async def read(self, path: str, body: Json) -> Json:
        """What changes nothing: asked of one member after the other, until one answers.

        `Unreachable` (MACHINE_UNREACHABLE): none did. `Declined`: etcd refused.
        """
        return await self._ask_each(path, body, READ_S)

    async def repeat(self, path: str, body: Json) -> Json:
        """What may change something, and may be done twice: as `read`. `Unreachable` does not say what was done."""
        return await self._ask_each(path, body, WRITE_S)

    async def _ask_each(self, path: str, body: Json, within_s: float) -> Json:
        why = ""
        for endpoint in self._in_turn():
            try:
                return await self._ask(endpoint, path, body, within_s)
            except (_NotSent, _NoAnswer) as error:
                why = self._pass_over(endpoint, error)
        raise self._absent(why)

    async def write(self, path: str, body: Json) -> Json:
        """What may change something: never sent again once it may have arrived. A member that has been silent is asked
        for a word first.

        `Unreachable`: nothing was sent (MACHINE_UNREACHABLE); no answer came (OUTCOME_UNKNOWN). `Declined`: nothing
        was done.
        """
        why = ""
        for endpoint in self._in_turn():
            try:
                await self._hear(endpoint)
                return await self._ask(endpoint, path, body, WRITE_S)
            except _NotSent as error:
                why = self._pass_over(endpoint, error)
            except _NoAnswer as error:
                text = f"etcd did not say what became of it: {self._pass_over(endpoint, error)}"
                raise Unreachable(Code.OUTCOME_UNKNOWN, text, "Read before you act.") from error
        raise self._absent(why)

    async def read_at(self, endpoint: str, path: str, body: Json) -> Json:
        """As `read`, of this one member."""
        try:
            return await self._ask(endpoint, path, body, READ_S)
        except (_NotSent, _NoAnswer) as error:
            raise self._absent(f"{endpoint} {error}") from error

    async def version_at(self, endpoint: str) -> str:
        try:
            with anyio.fail_after(READ_S):
                response = await self._client.get(f"{endpoint}/version")
            return str(json.loads(response.content)["etcdserver"])
        except (TimeoutError, httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise self._absent(f"{endpoint} {_words(error)}") from error

    async def changed(self, key: str, from_revision: int, wait_s: float) -> bool:
        """Whether the key was written at that revision or later. False too when nobody said so within `wait_s`: a
        watch that is cancelled, or of a member that is frozen, is silent. So ask again, by a read.
        """
        endpoint = self.access.endpoints[self._first]
        body = {"create_request": {"key": key, "start_revision": str(from_revision)}}
        found = False
        with anyio.move_on_after(wait_s) as scope:
            try:
                request = self._request(f"{endpoint}/v3/watch", body, self._token)
                response = await self._client.send(request, stream=True)
                try:
                    text = b""
                    async for chunk in response.aiter_raw():
                        text += chunk
                        *lines, text = text.split(b"\n")
                        found = found or any(_tells(line) for line in lines)
                        if found or response.is_error:
                            # httpx's generators end in order only by an exception from their innermost.
                            scope.cancel()
                finally:
                    with anyio.CancelScope(shield=True):
                        await response.aclose()
                if not found:
                    await anyio.sleep(WATCH_PAUSE_S)
            except httpx.HTTPError as error:
                self._pass_over(endpoint, error)
                await anyio.sleep(WATCH_PAUSE_S)
        return found

    # ------------------------------------------------------------ one request

    def _in_turn(self) -> Sequence[str]:
        endpoints = self.access.endpoints
        return [*endpoints[self._first :], *endpoints[: self._first]]

    def _pass_over(self, endpoint: str, error: Exception) -> str:
        """The next one is asked first from now on."""
        endpoints = self.access.endpoints
        if endpoints[self._first] == endpoint:
            self._first = (self._first + 1) % len(endpoints)
        return f"{endpoint} {_words(error)}"

    async def _hear(self, endpoint: str) -> None:
        """`_NotSent`: it does not answer."""
        if anyio.current_time() - self._heard_s.get(endpoint, -HEARD_S) < HEARD_S:
            return
        try:
            await self._ask(endpoint, "/v3/maintenance/status", {}, READ_S)
        except _NoAnswer as error:
            raise _NotSent(str(error)) from error

    async def _ask(self, endpoint: str, path: str, body: Json, within_s: float) -> Json:
        deadline = anyio.current_time() + within_s
        token = self._token
        if token is None and self.access.user:
            try:
                token = await self._authenticate(endpoint)
            except _NoAnswer as error:
                raise _NotSent(str(error)) from error  # only the request for a token may have arrived
        try:
            return await self._post(endpoint, path, body, deadline - anyio.current_time(), token)
        except Declined as error:
            if error.code != _UNAUTHENTICATED or token is None:
                raise
        # The token is over, or that member was started anew and knows none. Nothing was done, so ask once more.
        if self._token == token:
            try:
                await self._authenticate(endpoint)
            except _NoAnswer as error:
                raise _NotSent(str(error)) from error
        return await self._post(endpoint, path, body, within_s, self._token)

    async def _authenticate(self, endpoint: str) -> str:
        body = {"name": self.access.user, "password": self.access.password}
        try:
            token = str((await self._post(endpoint, "/v3/auth/authenticate", body, READ_S, None))["token"])
        except Declined as error:
            raise Refused(
                Code.NOT_ALLOWED,
                f"etcd does not let {self.access.user} in: {error}",
                "Correct user and password in the file that says how etcd is reached.",
            ) from error
        self._token = token
        return token

    async def _post(self, endpoint: str, path: str, body: Json, within_s: float, token: str | None) -> Json:
        try:
            with anyio.fail_after(max(0.0, within_s)):
                response = await self._client.send(self._request(f"{endpoint}{path}", body, token))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _NotSent(_words(error)) from error
        except TimeoutError as error:
            raise _NoAnswer(f"did not answer within {within_s:.0f} s") from error
        except httpx.HTTPError as error:
            raise _NoAnswer(_words(error)) from error
        self._heard_s[endpoint] = anyio.current_time()
        return _answer(response)

    def _request(self, url: str, body: Json, token: str | None) -> httpx.Request:
        headers = {} if token is None else {"Authorization": token}
        content = json.dumps(body).encode()
        headers["Content-Length"] = str(len(content))
        request = self._client.build_request("POST", url, headers=headers)
        request.stream = _Body(content)
        return request

    def _absent(self, why: str) -> Unreachable:
        return Unreachable(
            Code.MACHINE_UNREACHABLE, f"etcd does not answer: {why}", "Look at it with `ployzctl cluster status`."
        )


def _answer(response: httpx.Response) -> Json:
    try:
        value: dict[str, Any] = json.loads(response.content)
        if response.status_code == HTTPStatus.OK:
            return value
        code, text = int(value.get("code", 2)), str(value.get("message") or value.get("error"))
    except (ValueError, TypeError, AttributeError):
        raise _NoAnswer(f"answered with HTTP status {response.status_code}") from None
    if code in _SURELY_NOTHING:
        raise Declined(code, text)
    raise _NoAnswer(f"answered: {text}")


def _tells(line: bytes) -> bool:
    try:
        return bool(json.loads(line).get("result", {}).get("events"))
    except (ValueError, AttributeError):
        return False


def _words(error: Exception) -> str:
    text = str(error)
    if isinstance(error, httpx.HTTPError):
        return f"could not be reached: {text or type(error).__name__}"
    return text or type(error).__name__
