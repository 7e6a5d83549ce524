"""Something at a unix socket that answers as Docker's API does, for tests of who asks it. No container ever runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from threading import Thread
from typing import cast

from attrs import field, frozen

Answers = Mapping[str, tuple[int, object]]
"""By path: the status, and what is said as JSON; bytes are sent as they are."""


@frozen
class Asked:
    bodies: list[bytes] = field(factory=list)
    """Of the requests that had one, in order, without their chunks."""


class _Server(UnixStreamServer):
    answers: Answers
    asked: Asked


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, said = cast("_Server", self.server).answers.get(self.path, (404, {"message": "page not found"}))
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        cast("_Server", self.server).asked.bodies.append(body)
        self.do_GET()

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(path: Path, answers: Answers) -> Iterator[Asked]:
    with _Server(str(path), _Handler) as server:
        server.answers, server.asked = answers, Asked()
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.asked
        finally:
            server.shutdown()
            thread.join()
