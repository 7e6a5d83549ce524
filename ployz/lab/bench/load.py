"""An HTTP client at a fixed rate, run inside a machine: every request counts, none is tried again.

`load.py PORT HOSTNAME PATH RATE`, to the machine's own gateway, until the end of its input; then one JSON line. The
clock of a request starts when it is due, so that a server that stalls delays no measurement. Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from typing import Final

ANSWER_S: Final = 60.0
TICK_S: Final = 0.005

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Load:
    def __init__(self, port: int, hostname: str, path: str) -> None:
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: {hostname}\r\n\r\n".encode()
        self._idle: list[Connection] = []
        self.failed: Counter[str] = Counter()
        self.took_ms: list[float] = []

    async def one(self, due_s: float) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                status = await self._ask()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            status = f"{type(error).__name__}: {error}"
        self.took_ms.append((time.monotonic() - due_s) * 1000)
        if status != "200":
            self.failed[status] += 1

    def _kept(self) -> Connection | None:
        """A connection that the other side has not closed meanwhile, as it may after a while without requests."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _ask(self) -> str:
        reader, writer = self._kept() or await asyncio.open_connection("127.0.0.1", self._port)
        kept = False
        try:
            writer.write(self._request)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            lines = dict(line.partition(": ")[::2] for line in head.split("\r\n")[1:])
            await reader.readexactly(int(lines.get("content-length", "0")))
            kept = lines.get("connection") != "close"
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return head.split(" ", 2)[1]


async def main() -> None:
    port, hostname, path, rate = sys.argv[1:]
    load, ended = Load(int(port), hostname, path), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 1) else ended.set())
    began_s, begun = time.monotonic(), 0
    going: set[asyncio.Task[None]] = set()
    while not ended.is_set():
        while begun < (time.monotonic() - began_s) * float(rate):
            task = asyncio.create_task(load.one(began_s + begun / float(rate)))
            going.add(task)
            task.add_done_callback(going.discard)
            begun += 1
        await asyncio.sleep(TICK_S)
    await asyncio.gather(*going)
    took_ms = sorted(load.took_ms)
    print(  # noqa: T201 - its answer
        json.dumps(
            {
                "requests": len(took_ms),
                "failed": dict(load.failed),
                "slowest_ms": round(took_ms[-1], 1),
                "median_ms": round(took_ms[len(took_ms) // 2], 1),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    asyncio.run(main())
