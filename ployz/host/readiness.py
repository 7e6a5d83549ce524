"""Asking a started container whether it is ready: one look, by HTTP, TCP or a command inside it.

How often to look, and when to give up, is decided by plan/readiness.
"""

from __future__ import annotations

import errno
import os
import socket
from http import HTTPStatus
from typing import Final

import anyio
from anyio.abc import SocketStream

from ployz.errors import Failed
from ployz.host.ports import Docker

STATUS_LINE_MAX_BYTES = 4096
LOOK_MARK: Final = 0x706C6F79
"""On the packets of a look: the door in front of a candidate lets nothing else pass."""


class SocketLooks:
    async def tcp_answers(self, address: str, port: int, *, timeout_s: float) -> str | None:
        try:
            with anyio.fail_after(timeout_s):
                stream = await _connect(address, port)
                await stream.aclose()
        except TimeoutError:
            return f"{address}:{port} did not accept within {timeout_s:g} s"
        except OSError as error:
            return f"{address}:{port}: {_words(error)}"
        return None

    async def http_answers(self, address: str, port: int, path: str, *, timeout_s: float) -> str | None:
        try:
            with anyio.fail_after(timeout_s):
                async with await _connect(address, port) as stream:
                    request = (
                        f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: ployz\r\nConnection: close\r\n\r\n"
                    )
                    await stream.send(request.encode())
                    status = _status(await _first_line(stream))
        except TimeoutError:
            return f"GET {path} on port {port} did not answer within {timeout_s:g} s"
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            return f"GET {path} on port {port}: {_words(error)}"
        if status is None:
            return f"GET {path} on port {port} was not answered in HTTP"
        return None if HTTPStatus.OK <= status < HTTPStatus.BAD_REQUEST else f"GET {path} answered {status}"


async def command_succeeds(docker: Docker, container: str, command: tuple[str, ...], *, timeout_s: float) -> str | None:
    """None: it exited with 0. Else why not."""
    try:
        result = await docker.exec(container, command, timeout_s=timeout_s)
    except Failed as error:
        return error.problem.text
    if result.exit_code == 0:
        return None
    said = result.output.strip()[-200:]
    return f"{command[0]} exited with {result.exit_code}" + (f": {said}" if said else "")


async def _connect(address: str, port: int) -> SocketStream:
    raw = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, LOOK_MARK)
        begun = raw.connect_ex((address, port))
        if begun not in (0, errno.EINPROGRESS):
            raise OSError(begun, os.strerror(begun))  # noqa: TRY301 - as a blocking connect would
        await anyio.wait_writable(raw)
        if ended := raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(ended, os.strerror(ended))  # noqa: TRY301 - as a blocking connect would
        return await SocketStream.from_socket(raw)
    except BaseException:
        raw.close()
        raise


async def _first_line(stream: SocketStream) -> bytes:
    line = b""
    while b"\r\n" not in line and len(line) < STATUS_LINE_MAX_BYTES:
        line += await stream.receive(STATUS_LINE_MAX_BYTES)
    return line.partition(b"\r\n")[0]


def _status(line: bytes) -> int | None:
    words = line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():  # noqa: PLR2004 - version, status
        return None
    return int(words[1])


def _words(error: BaseException) -> str:
    """What the system said, without the libraries' sentences around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
