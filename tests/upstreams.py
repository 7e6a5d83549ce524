"""A small HTTP server that a test's gateway sends requests to: it can be slow, go away, and come back on its port."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

PORTS: Final = (10_000, 32_000)


def free_port() -> int:
    """Below those that the kernel gives to whoever connects: one of these may be taken before it is listened on."""
    while True:
        port = random.randint(*PORTS)  # noqa: S311 - no secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Upstream:
    """`/slow` takes `slow_s`; everything is answered with `name`."""

    def __init__(self, name: str = "one", port: int = 0, *, slow_s: float = 0.5) -> None:
        self.name = name
        self.port = port or free_port()
        self.slow_s = slow_s
        self.told: dict[str, str] = {}
        """The headers of the last request."""
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            timeout = 60

            def do_GET(self) -> None:
                if self.path.endswith("/slow"):
                    time.sleep(upstream.slow_s)
                content = f"{upstream.name} {self.path}\n".encode()
                upstream.told = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Nothing is accepted any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
