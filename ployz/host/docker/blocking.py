"""Plain HTTP to Docker's unix socket, without an event loop and with the standard library alone.

For what runs before a node does, or beside it as a program of its own. The node's own conversation is `connection.py`.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

BLOCK_BYTES: Final = 1 << 16


class UnixConnection(http.client.HTTPConnection):
    """`timeout_s`: for each wait on the socket; None waits for ever."""

    def __init__(self, path: str | Path, *, timeout_s: float | None) -> None:
        super().__init__("docker", timeout=timeout_s, blocksize=BLOCK_BYTES)  # a Host header that Docker accepts
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


def words_of(response: http.client.HTTPResponse) -> str:
    """Docker's own words of an answer that is an error, in one line."""
    body = response.read()
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    said = value.get("message") if isinstance(value, dict) else None
    if isinstance(said, str):
        return " ".join(said.split())
    return f"HTTP status {response.status}"


def ask_info(path: Path, timeout_s: float) -> Mapping[str, Any]:
    """What `GET /info` tells. Raises OSError, http.client.HTTPException, or ValueError with the words of a refusal."""
    connection = UnixConnection(path, timeout_s=timeout_s)
    try:
        connection.request("GET", "/info")
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            raise ValueError(words_of(response))
        told = json.loads(response.read())
    finally:
        connection.close()
    if not isinstance(told, dict):
        raise ValueError("its answer is no object")  # noqa: TRY004 - of what it said, not of how it was called
    return told
