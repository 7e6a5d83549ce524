"""The port to a gateway: where requests from outside go, and which of them wait, as values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen


class Mode(StrEnum):
    HTTP = "http"
    TCP = "tcp"


@frozen(order=True)
class GatewayServer:
    """One slot of a service."""

    name: str
    address: str
    port: int
    is_out: bool = False
    """Nothing new is sent to it."""


@frozen
class GatewayBackend:
    """One port of one service, with every slot that may answer on it."""

    name: str
    """Letters, digits, '.', '_' and '-'."""
    mode: Mode
    servers: tuple[GatewayServer, ...]


@frozen(order=True)
class HttpEntry:
    """Requests for `hostname` whose path begins with `path_prefix`. The longest prefix of the hostname wins."""

    hostname: str
    """Empty: any, for which no hostname's own entry fits."""
    path_prefix: str
    backend: str


@frozen(order=True)
class TcpEntry:
    listen_port: int
    backend: str


@frozen
class GatewayState:
    """Everything that a gateway does. The driver makes the running one agree with it, without dropping a connection."""

    http: tuple[HttpEntry, ...] = ()
    tcp: tuple[TcpEntry, ...] = ()
    backends: tuple[GatewayBackend, ...] = ()
    holds: Mapping[str, int] = field(factory=dict)
    """Of the backends for which new requests and connections wait: until when, in ms of wall time. At that time what
    still waits is refused, and nothing new waits any more, whoever else is alive by then."""


@frozen
class ServerStatus:
    name: str
    is_out: bool
    sessions: int
    """Requests or connections that it works on now."""
    errors: int
    """Connections that failed and answers that broke off, since the gateway was started or changed last."""


@frozen
class BackendStatus:
    name: str
    servers: tuple[ServerStatus, ...]
    held_until_ms: int | None
    """None: nothing waits."""
    held: int
    """Waiting now."""
    held_ever: int
    expired: int
    """Waited until the hold's deadline and were refused."""
    turned_away: int
    """Found too many waiting already."""

    @property
    def sessions(self) -> int:
        return sum(each.sessions for each in self.servers)

    @property
    def errors(self) -> int:
        return sum(each.errors for each in self.servers)


@frozen
class GatewayStatus:
    runs: bool
    backends: tuple[BackendStatus, ...] = ()
    problems: tuple[str, ...] = ()
    """What the last `apply` left out, and why: a port that another program has, a certificate that cannot be read."""

    def backend(self, name: str) -> BackendStatus | None:
        return next((each for each in self.backends if each.name == name), None)


class Gateway(Protocol):
    """It goes on serving the last state when ployzd is gone, and is found again by the next one."""

    async def lacks(self) -> str | None:
        """What is missing on this machine for a gateway, in words. None: nothing."""
        ...

    async def apply(self, state: GatewayState) -> None:
        """Starts it if it does not run. What only changes holds and servers that are out takes effect at once."""
        ...

    async def status(self) -> GatewayStatus: ...

    async def stop(self) -> None:
        """Its connections end. Does not run is done."""
        ...
