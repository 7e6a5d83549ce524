"""Looks at the containers of a fake Docker: one that runs answers once its program says so."""

from __future__ import annotations

import anyio
from attrs import frozen

from ployz.host.fakes.docker import FakeDocker


@frozen
class FakeLooks:
    docker: FakeDocker

    async def tcp_answers(self, address: str, port: int, *, timeout_s: float) -> str | None:  # noqa: ARG002 - the port's
        await anyio.lowlevel.checkpoint()
        return None if self.docker.answers(address) else f"{address}:{port}: Connection refused"

    async def http_answers(self, address: str, port: int, path: str, *, timeout_s: float) -> str | None:  # noqa: ARG002 - the port's
        await anyio.lowlevel.checkpoint()
        return None if self.docker.answers(address) else f"GET {path} on port {port}: Connection refused"
