"""How many connections each frontend of a gateway may have, and one source of them: nobody takes them all. Pure.

HAProxy has one bound for all of its connections. Without shares, whoever opens that many to one port, and says nothing,
is all that the gateway serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ployz.host.ports import GatewayState

HTTP: Final = "http"
HTTPS: Final = "https"
FILES_A_CONNECTION: Final = 2
"""One to the client and one to the service."""
FILES_BESIDE: Final = 500
"""Listeners, sockets that are asked at, threads."""
CONNECTIONS_MOST: Final = 50_000
"""Each costs memory, some 30 KiB with TLS."""
SOURCE_PART: Final = 4
"""One address has a quarter of a frontend's share: a proxy, or an office, is one."""


def connections_max(files_max: int) -> int:
    """`files_max`: what the kernel lets a process have open."""
    return max(100, min(CONNECTIONS_MOST, (files_max - FILES_BESIDE) // FILES_A_CONNECTION))


def tcp_name(port: int) -> str:
    return f"port-{port}"


def shares(state: GatewayState, connections: int, *, tls: bool) -> Mapping[str, int]:
    """By frontend. What speaks HTTP has half of them, where there is any; ports of TCP have the rest in equal parts."""
    http = ((HTTP, HTTPS) if tls else (HTTP,)) if state.http else ()
    tcp = tuple(tcp_name(each.listen_port) for each in state.tcp)
    of_http = connections // 2 if http and tcp else connections
    of_tcp = connections - of_http if http else connections
    return {
        **{name: max(1, of_http // len(http)) for name in http},
        **{name: max(1, of_tcp // len(tcp)) for name in tcp},
    }
