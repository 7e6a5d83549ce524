"""HAProxy's configuration and maps for a gateway's state: pure text.

A hold and a server that is out are in it as they are now, so that a new start begins with them; while HAProxy runs they
are changed by runtime commands, and `structure` is what has to change for a reload.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from ployz.host.haproxy.shares import HTTP, HTTPS, SOURCE_PART, shares, tcp_name
from ployz.host.ports import GatewayBackend, GatewayState, Mode

HOLD_LUA: Final = Path(__file__).with_name("hold.lua")
HTTP_PORT: Final = 80
HTTPS_PORT: Final = 443
HELD_MAX: Final = 5_000
"""Waiting for one backend: 200 requests a second for 25 s; each costs some 20 KiB. More are refused at once."""
RETRY_AFTER_S: Final = 5
MOVED_TOO_LONG: Final = "the service is moving and was not back in time: try again"
NO_ROUTE: Final = "no service has a route for this host and path"
NO_ANSWER: Final = "the service does not answer"

_PLAIN_HOST: Final = "req.hdr(host),field(1,:),lower"

CONNECT_TIMEOUT_MS: Final = 500
CONNECT_TRIES: Final = 10
"""With no health check a server is as good as its last connection. One that fails is tried again for about 5 s: a
container that restarts, or moves without a hold, is waited for (a check would answer 503 at once)."""


@frozen
class Files:
    """Where the parts of one gateway are: all in one folder below /run."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "haproxy.cfg"

    @property
    def routes(self) -> Path:
        return self.folder / "routes.map"

    @property
    def holds(self) -> Path:
        return self.folder / "holds.map"

    @property
    def hold_lua(self) -> Path:
        return self.folder / "hold.lua"

    @property
    def idle(self) -> Path:
        """Listened on where nothing is routed: HAProxy does not run without a listener."""
        return self.folder / "idle.sock"

    @property
    def master(self) -> Path:
        return self.folder / "master.sock"

    @property
    def worker(self) -> Path:
        return self.folder / "worker.sock"


@frozen
class Setting:
    """What this machine adds to the state."""

    files: Files
    certificates: Path | None
    """A folder of PEM files, each with a chain and its key; None: it has none, and nothing listens for TLS."""
    user: str | None
    """Whom the workers run as; None: as root, since there is no such user."""
    connections_max: int
    """At once, of all frontends."""
    http_port: int = HTTP_PORT
    https_port: int = HTTPS_PORT


def generation(state: GatewayState, setting: Setting, certificates: str) -> str:
    """Of everything that only a reload can change. `certificates`: a fingerprint of what is in their folder."""
    servers = {
        backend.name: evolve(backend, servers=tuple(evolve(each, is_out=False) for each in backend.servers))
        for backend in state.backends
    }
    still = evolve(state, backends=tuple(servers.values()), holds={})
    text = "\n".join((config_text(still, setting, ""), routes_text(still), certificates))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def config_text(state: GatewayState, setting: Setting, name: str) -> str:
    """`name`: the generation, by which a running HAProxy says what it runs."""
    return "".join(f"{line}\n" for line in _config(state, setting, name))


def routes_text(state: GatewayState) -> str:
    """A line an entry, the longest first: host and path as one text, which begins with '/' where any host fits."""
    entries = sorted(state.http, key=lambda each: (-len(each.hostname + each.path_prefix), each))
    return "".join(f"{each.hostname}{each.path_prefix} {each.backend}\n" for each in entries)


def holds_text(state: GatewayState) -> str:
    return "".join(f"{name} {until_ms}\n" for name, until_ms in sorted(state.holds.items()))


def hold_program(files: Files) -> str:
    """What waits in HAProxy, told its map and its bound: `lua-load` hands no arguments over in every version."""
    told = f'local map_file, held_max = "{files.holds}", {HELD_MAX}\n'
    refusal = f'local refused_status, retry_after, refusal = 503, "{RETRY_AFTER_S}", "{MOVED_TOO_LONG}\\n"\n'
    return f"{told}{refusal}{HOLD_LUA.read_text()}"


def listen_ports(state: GatewayState, setting: Setting) -> frozenset[int]:
    http = {setting.http_port, *((setting.https_port,) if setting.certificates else ())} if state.http else set()
    return frozenset({each.listen_port for each in state.tcp} | http)


def _config(state: GatewayState, setting: Setting, name: str) -> Iterator[str]:
    yield from _global(setting, name)
    allowed = shares(state, setting.connections_max, tls=setting.certificates is not None)
    yield from _http(state, setting, allowed)
    yield from _tcp(state, setting.files, allowed)


def _global(setting: Setting, name: str) -> Iterator[str]:
    files = setting.files
    yield from (
        "# Written by ployzd, and written again with the next change.",
        "global",
        "    master-worker",
        f"    node {name or '-'}",
        f"    maxconn {setting.connections_max}",
        f"    stats socket {files.worker} mode 600 level admin expose-fd listeners",
        f"    lua-load {files.hold_lua}",
    )
    if setting.user:
        yield from (f"    user {setting.user}", f"    group {setting.user}")
    if setting.certificates:
        yield "    ssl-default-bind-options ssl-min-ver TLSv1.2"


def _defaults(name: str, mode: Mode) -> Iterator[str]:
    yield from (
        "",
        f"defaults {name}",
        f"    mode {mode}",
        f"    timeout connect {CONNECT_TIMEOUT_MS}ms",
        f"    retries {CONNECT_TRIES}",
        "    retry-on conn-failure",
        "    option redispatch 1",
        "    balance roundrobin",
    )


def _limited(share: int) -> Iterator[str]:
    """What a source has too many of is closed at once, before anything is read. Counted for connections, never for
    requests.
    """
    most = max(1, share // SOURCE_PART)
    yield from (
        f"    maxconn {share}",
        "    stick-table type ipv6 size 100k expire 1m store conn_cur",
        "    tcp-request connection track-sc0 src",
        f"    tcp-request connection reject if {{ sc0_conn_cur gt {most} }}",
    )


def _http(state: GatewayState, setting: Setting, allowed: Mapping[str, int]) -> Iterator[str]:
    yield from _defaults("http", Mode.HTTP)
    yield from (
        "    timeout client 10m",
        "    timeout server 10m",
        "    timeout tunnel 24h",
        "    timeout http-request 30s",
        "    timeout http-keep-alive 60s",
    )
    if state.http:
        # What every request passes is counted in instructions: a condition costs some 300, a header some 1,000.
        yield from (
            "",
            f"frontend {HTTP} from http",
            f"    bind :::{setting.http_port} v4v6",
            *_limited(allowed[HTTP]),
            *_believed(),
            *_routing(state, setting),
        )
        if setting.certificates:
            yield from (
                "",
                f"frontend {HTTPS} from http",
                f"    bind :::{setting.https_port} v4v6 ssl crt {setting.certificates} alpn h2,http/1.1",
                *_limited(allowed[HTTPS]),
                *_believed(),
                "    http-request set-header X-Forwarded-Proto https",
                *_routing(state, setting),
            )
        yield from (
            "",
            "backend nowhere from http",
            f'    http-request return status 404 content-type text/plain string "{NO_ROUTE}\\n"',
        )
    for backend in (each for each in state.backends if each.mode is Mode.HTTP):
        yield from (
            "",
            f"backend {backend.name} from http",
            f"    http-request lua.hold if {_is_held(backend.name, setting.files)}",
            f"    http-error {_refusal(NO_ANSWER)}",
            *_servers(backend),
        )


def _believed() -> Iterator[str]:
    """What clients say of themselves is not believed: a host is a host, and only the gateway says who asked, and how.

    Routes are found by host and path as one text, so that a host with a '/' in it would choose another host's path.
    """
    yield from (
        "    http-request deny deny_status 400 if { req.hdr(host) -m sub / }",
        "    http-request del-header X-Forwarded- -m beg",
        "    http-request del-header Forwarded",
        "    http-request set-header X-Forwarded-For %[src]",
    )


def _routing(state: GatewayState, setting: Setting) -> Iterator[str]:
    """Host and path as they came, which is enough for most; else the host in lower case, without a port.

    As conditions of the choice itself, since the first that fits ends it: what others need costs most requests nothing.
    """
    fits = f"map_beg({setting.files.routes}),set-var(txn.to) -m found"
    to = "use_backend %[var(txn.to)] if"
    yield from (
        "    option idle-close-on-response",
        f"    {to} {{ base,{fits} }}",
        f"    {to} {{ path,set-var(txn.path) -m found }} {{ {_PLAIN_HOST},concat(,txn.path),{fits} }}",
    )
    if any(not each.hostname for each in state.http):
        yield f"    {to} {{ path,{fits} }}"
    yield "    default_backend nowhere"


def _tcp(state: GatewayState, files: Files, allowed: Mapping[str, int]) -> Iterator[str]:
    yield from _defaults("tcp", Mode.TCP)
    yield from (
        "    timeout client 24h",
        "    timeout server 24h",
        "    option clitcpka",
        "    option srvtcpka",
    )
    if not state.http and not state.tcp:
        yield from ("", "frontend idle from tcp", f"    bind unix@{files.idle} mode 600")
    for entry in state.tcp:
        yield from (
            "",
            f"frontend {tcp_name(entry.listen_port)} from tcp",
            f"    bind :::{entry.listen_port} v4v6",
            *_limited(allowed[tcp_name(entry.listen_port)]),
            f"    default_backend {entry.backend}",
        )
    for backend in (each for each in state.backends if each.mode is Mode.TCP):
        yield from (
            "",
            f"backend {backend.name} from tcp",
            "    tcp-request inspect-delay 24h",  # an action that waits needs one; it ends by itself
            f"    tcp-request content lua.hold_tcp if {_is_held(backend.name, files)}",
            "    tcp-request content reject if { var(txn.refused) -m bool }",
            *_servers(backend),
        )


def _refusal(text: str) -> str:
    return f'status 503 content-type text/plain string "{text}\\n" hdr Retry-After {RETRY_AFTER_S}'


def _is_held(backend: str, files: Files) -> str:
    return f"{{ str({backend}),map({files.holds}) -m found }}"


def _servers(backend: GatewayBackend) -> Iterable[str]:
    for each in backend.servers:
        address = f"[{each.address}]" if ":" in each.address else each.address
        yield f"    server {each.name} {address}:{each.port}{' disabled' if each.is_out else ''}"
