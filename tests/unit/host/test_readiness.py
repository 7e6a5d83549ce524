"""One look at a service on this machine's loopback, by TCP and by HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from ployz.host.readiness import SocketLooks

LOOK_S = 5.0


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[int]:
    """A server that answers every connection with this; its port."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            if answer:
                await stream.receive()
                await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, nothing of Django's
        tasks.cancel_scope.cancel()


def look(call: Callable[[], Awaitable[str | None]]) -> str | None:
    return anyio.run(call, backend="trio")


def test_a_port_that_accepts_is_ready_and_one_that_nobody_has_is_refused() -> None:
    async def main() -> str | None:
        async with serving(b"") as port:
            assert await SocketLooks().tcp_answers("127.0.0.1", port, timeout_s=LOOK_S) is None
        return await SocketLooks().tcp_answers("127.0.0.1", port, timeout_s=LOOK_S)

    assert "Connection refused" in (look(main) or "")


@pytest.mark.parametrize(("status", "words"), [("200 OK", None), ("302 Found", None), ("503 Busy", "answered 503")])
def test_a_status_below_400_is_ready(status: str, words: str | None) -> None:
    async def main() -> str | None:
        async with serving(f"HTTP/1.1 {status}\r\n\r\n".encode()) as port:
            return await SocketLooks().http_answers("127.0.0.1", port, "/", timeout_s=LOOK_S)

    found = look(main)
    assert (found is None) if words is None else (words in (found or ""))


def test_an_answer_that_is_no_http_and_one_that_never_comes_are_told_apart() -> None:
    async def main() -> tuple[str | None, str | None]:
        async with serving(b"hello\r\n") as port:
            other = await SocketLooks().http_answers("127.0.0.1", port, "/", timeout_s=LOOK_S)
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            silent = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, nothing of Django's
            return other, await SocketLooks().http_answers("127.0.0.1", silent, "/", timeout_s=0.05)

    other, silent = anyio.run(main, backend="trio")
    assert "not answered in HTTP" in (other or "")
    assert "did not answer within" in (silent or "")
