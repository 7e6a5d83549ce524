"""Requests a second through a gateway as ployz sets it up, and through a bare HAProxy with a static file.

Run inside a machine, `python -m ployz.lab.bench.throughput ROUNDS`; prints one JSON object. The bare one is in
master-worker mode and a session of its own too, as a distribution starts it. Both send to the same responder, one after
the other in each round. The client pipelines, so that it costs little.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio

from ployz.host.haproxy.driver import HaproxyGateway
from ployz.host.ports import GatewayBackend, GatewayServer, GatewayState, HttpEntry, Mode

PLOYZ_PORT: Final = 18_080
BARE_PORT: Final = 18_081
RESPONDER_PORT: Final = 18_082
CONNECTIONS: Final = 16
BATCH: Final = 32
ROUND_S: Final = 2.0
UP_S: Final = 10.0
HOSTNAME: Final = "bench.example"
BACKEND: Final = "http.bench.web.http"

_REQUESTS: Final = f"GET /item HTTP/1.1\r\nHost: {HOSTNAME}\r\n\r\n".encode() * BATCH
_TIMES: Final = "    mode http\n    timeout connect 5s\n    timeout client 10m\n    timeout server 10m\n"
_BARE: Final = f"""
defaults
{_TIMES}    option forwardfor
frontend bare
    bind :::{BARE_PORT} v4v6
    default_backend web
backend web
    server one 127.0.0.1:{RESPONDER_PORT}
"""
_RESPONDER: Final = f"""
defaults
{_TIMES}frontend responder
    bind 127.0.0.1:{RESPONDER_PORT}
    http-request return status 200 content-type text/plain string "0123456789abcdef"
"""
STATE: Final = GatewayState(
    http=tuple(HttpEntry(hostname, "/", BACKEND) for hostname in (HOSTNAME, *(f"{n}.example" for n in range(20)))),
    backends=(GatewayBackend(BACKEND, Mode.HTTP, (GatewayServer("slot-1", "127.0.0.1", RESPONDER_PORT),)),),
)


def requests_per_s(port: int) -> float:
    """Over `ROUND_S`, by every connection together."""
    counts = [0] * CONNECTIONS
    ends_s = time.monotonic() + ROUND_S

    def one(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            while time.monotonic() < ends_s:
                connection.sendall(_REQUESTS)
                answered, rest = 0, b""
                while answered < BATCH:
                    chunk = connection.recv(1 << 16)
                    if not chunk:
                        raise ConnectionError("the connection was closed")
                    rest += chunk
                    answered += rest.count(b"HTTP/1.1 200")
                    rest = rest[rest.rfind(b"HTTP/1.1 200") + 1 :]
                counts[number] += answered

    threads = [threading.Thread(target=one, args=(number,)) for number in range(CONNECTIONS)]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - began_s)


@contextlib.contextmanager
def haproxy(folder: Path, name: str, text: str, port: int) -> Iterator[None]:
    path = folder / name
    path.write_text(text)
    argv = ["haproxy", "-W", "-db", "-f", str(path)]
    # A session of its own, as a service has: schedulers share the processor between sessions first.
    with subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            deadline_s = time.monotonic() + UP_S
            while not _listens(port):
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"nothing listens on {port}")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    rounds = int(sys.argv[1])
    folder = Path(tempfile.mkdtemp(prefix="ployz-throughput-"))
    gateway = HaproxyGateway(folder / "gateway", folder / "certificates", PLOYZ_PORT, PLOYZ_PORT)
    found: dict[str, list[float]] = {"ployz": [], "bare": []}
    try:
        with (
            haproxy(folder, "responder.cfg", _RESPONDER, RESPONDER_PORT),
            haproxy(folder, "bare.cfg", _BARE, BARE_PORT),
        ):
            anyio.run(gateway.apply, STATE, backend="trio")
            for port in (PLOYZ_PORT, BARE_PORT):
                requests_per_s(port)  # warm
            for _ in range(rounds):
                found["bare"].append(requests_per_s(BARE_PORT))
                found["ployz"].append(requests_per_s(PLOYZ_PORT))
    finally:
        anyio.run(gateway.stop, backend="trio")
        shutil.rmtree(folder)
    print(json.dumps(found), flush=True)  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
