"""Waiting until a started container is ready: looks by host/readiness, as often as plan/readiness says."""

from __future__ import annotations

import anyio

from ployz.errors import Code, Failed
from ployz.host.ports import Docker, Looks
from ployz.host.readiness import command_succeeds
from ployz.manifest.model import ExecProbe, HttpProbe, PortName, Service, TcpProbe
from ployz.plan.readiness import pauses_s
from ployz.printable import quoted

LOG_LINES = 20
"""Of a container that ended instead of becoming ready: the operator's first question is what it said."""


async def wait_until_ready(docker: Docker, looks: Looks, service: Service, container: str, ipv4: str) -> int:
    """How many looks it took. `Failed` with NOT_READY: it ended, or was never ready in the time it had."""
    if service.readiness is None:
        await _check_running(docker, container)
        return 1
    why: str | None = "it was not looked at"
    attempts = 0
    for pause_s in pauses_s(service.readiness):
        await anyio.sleep(pause_s)
        attempts += 1
        why = await look(docker, looks, service, container, ipv4)
        if why is None:
            return attempts
        await _check_running(docker, container)
    raise Failed(
        Code.NOT_READY,
        f"{container} was not ready after {attempts} looks: {why}{await _last_words(docker, container)}",
        "Look at its readiness in the manifest, and at what the container says.",
    )


async def look(docker: Docker, looks: Looks, service: Service, container: str, ipv4: str) -> str | None:
    """One look, as the manifest defines it. None: it is ready. Else why not."""
    if service.readiness is None:
        return None
    timeout_s = service.readiness.timeout_s
    match service.readiness.probe:
        case TcpProbe(port):
            return await looks.tcp_answers(ipv4, _port(service, port), timeout_s=timeout_s)
        case HttpProbe(port, path):
            return await looks.http_answers(ipv4, _port(service, port), path, timeout_s=timeout_s)
        case ExecProbe(command):
            return await command_succeeds(docker, container, command, timeout_s=timeout_s)


def _port(service: Service, name: PortName) -> int:
    port = service.port(name)
    if port is None:
        raise AssertionError(f"{service.name} has no port {name}: the manifest was checked")
    return port.container_port


async def _check_running(docker: Docker, container: str) -> None:
    found = await docker.inspect(container)
    if found is None or not found.running:
        how = "is gone" if found is None else f"exited with {found.exit_code}"
        words = "" if found is None else await _last_words(docker, container)
        raise Failed(Code.NOT_READY, f"{container} {how} before it was ready{words}", "Look at its command and image.")


async def _last_words(docker: Docker, container: str) -> str:
    said = (await docker.logs(container, tail=LOG_LINES)).strip()
    return f"; it said last:\n{quoted(said)}" if said else ""
