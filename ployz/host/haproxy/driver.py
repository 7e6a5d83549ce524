"""A gateway by HAProxy in master-worker mode: it goes on without ployzd, and a reload hands its sockets over.

What runs says itself what it is: the generation is in its configuration, holds are in its map. Nothing is remembered
here, so that a ployzd that has just started goes on where the one before it was.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import resource
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from attrs import define, evolve, field

from ployz.errors import Code, Failed
from ployz.host import program
from ployz.host.haproxy import config, runtime
from ployz.host.haproxy.config import Files, Setting
from ployz.host.haproxy.runtime import FrontendRow, HoldRow, Runtime, ServerRow
from ployz.host.haproxy.shares import connections_max
from ployz.host.outliving import Outliving
from ployz.host.ports import BackendStatus, GatewayState, GatewayStatus, ServerStatus

USER: Final = "haproxy"
CHECK_S: Final = 10.0
TAKE_OVER_S: Final = 10.0
"""From a reload to the answer of the new worker."""
LOOK_EVERY_S: Final = 0.02
STOP_GRACE_S: Final = 5.0
FULL: Final = 0.95
"""Of a frontend's share: from here on who comes may have to wait."""

_BIND: Final = re.compile(r"^    bind :::(\d+) ", re.MULTILINE)
_ALERT: Final = re.compile(r"\[ALERT\]\s+\(\d+\) : (.*?)(?=\s*\[[A-Z]+\]\s+\(|$)")


@define(eq=False)
class HaproxyGateway:
    """`folder`: below /run. `certificates`: PEM files, each with a chain and its key; may be missing or empty."""

    folder: Path
    certificates: Path
    http_port: int = config.HTTP_PORT
    https_port: int = config.HTTPS_PORT
    connections: int = field(factory=lambda: connections_max(resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    """At once, all together: what the kernel lets HAProxy have."""
    _problems: tuple[str, ...] = field(default=(), init=False)
    _looked_at: str = field(default="", init=False)
    """Fingerprint of the certificates that `_verdict` is about."""
    _verdict: str | None = field(default=None, init=False)

    async def lacks(self) -> str | None:
        if shutil.which("haproxy") is None:
            return "HAProxy is not installed (Debian: haproxy)"
        try:
            version = await program.run(["haproxy", "-vv"], deadline_s=CHECK_S, check=Code.PART_FAILED)
        except Failed as error:
            return error.problem.text
        return None if "+LUA" in version.text else "this HAProxy was built without Lua, which holds requests"

    async def apply(self, state: GatewayState) -> None:
        setting = self._setting()
        broken = await self._broken_certificate(setting)
        if broken:
            setting = evolve(setting, certificates=None)
        state, taken = self._without_taken_ports(state, setting)
        problems = [*([broken] if broken else ()), *taken]
        wanted = config.generation(state, setting, _fingerprint(setting.certificates))
        workers = await self._workers()
        if not await self._run_as(workers, wanted):
            await self._change(state, setting, wanted)
            workers = await self._workers()
        await self._agree(state, workers)
        self._problems = tuple(problems)

    async def status(self) -> GatewayStatus:
        workers = await self._workers()
        if not workers:
            return GatewayStatus(runs=False)
        newest, *old = workers
        look = await self._runtime.look(newest, self._files.holds)
        holds, servers = look.holds, look.servers
        for worker in old:
            with suppress(Failed):  # it ends when its last connection does
                older = await self._runtime.look(worker, self._files.holds)
                holds, servers = _together(holds, older.holds), _added(servers, older.servers)
        names = dict.fromkeys(each.backend for each in servers)
        backends = tuple(_backend(name, servers, look.held.get(name), holds.get(name)) for name in names)
        crowded = [words for each in look.frontends if (words := crowding(each)) is not None]
        return GatewayStatus(runs=True, backends=backends, problems=(*self._problems, *crowded))

    async def stop(self) -> None:
        await self._program.stop(grace_s=STOP_GRACE_S)

    # ------------------------------------------------------------ what runs

    @property
    def _files(self) -> Files:
        return Files(self.folder)

    @property
    def _runtime(self) -> Runtime:
        return Runtime(self._files.master)

    @property
    def _program(self) -> Outliving:
        path = str(self._files.config)
        argv = ("haproxy", "-W", "-S", f"{self._files.master},mode,600", "-f", path)
        return Outliving("haproxy", self.folder, argv, path)

    async def _workers(self) -> list[int]:
        """The newest first; none where nothing runs."""
        if self._program.pid() is None:
            return []
        with suppress(Failed):
            return list(await self._runtime.workers())
        return []

    async def _run_as(self, workers: Sequence[int], wanted: str) -> bool:
        for worker in workers[:1]:
            with suppress(Failed):
                return await self._runtime.generation(worker) == wanted
        return False

    # ------------------------------------------------------------ changing it

    async def _change(self, state: GatewayState, setting: Setting, wanted: str) -> None:
        self._write(state, setting, wanted)
        await self._check(self._files.config)
        if self._program.pid() is None:
            await self._program.start()
        else:
            self._program.signal(signal.SIGUSR2)
        with anyio.move_on_after(TAKE_OVER_S):
            while not await self._run_as(await self._workers(), wanted):
                if self._program.pid() is None:
                    break
                await anyio.sleep(LOOK_EVERY_S)
            else:
                return
        said = self._program.words()
        raise Failed(Code.PART_FAILED, f"HAProxy did not take its new configuration: {_alerts(said) or said}")

    def _write(self, state: GatewayState, setting: Setting, wanted: str) -> None:
        files = self._files
        try:
            files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.routes.write_text(config.routes_text(state))
            files.hold_lua.write_text(config.hold_program(files))
            files.holds.write_text(config.holds_text(state))
            part = files.config.with_suffix(".part")
            part.write_text(config.config_text(state, setting, wanted))
            part.replace(files.config)
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"the gateway's files could not be written: {error}") from error

    async def _check(self, path: Path) -> None:
        checked = await program.run(["haproxy", "-c", "-f", str(path)], deadline_s=CHECK_S)
        if checked.exit_code != 0:
            said = _alerts(checked.words) or checked.words
            raise Failed(Code.PART_FAILED, f"HAProxy refuses its configuration: {said}")

    async def _agree(self, state: GatewayState, workers: Sequence[int]) -> None:
        """Holds and servers that are out, in every worker."""
        out = {(backend.name, each.name): each.is_out for backend in state.backends for each in backend.servers}
        for number, worker in enumerate(workers):
            try:
                look = await self._runtime.look(worker, self._files.holds)
                commands = [*runtime.commands(look.held, state.holds, out, look.servers, self._files.holds)]
                if commands:
                    await self._runtime.ask(worker, *commands)
            except Failed:
                if number == 0:
                    raise
                # An old worker that has just ended with its last connection.

    # ------------------------------------------------------------ this machine

    def _setting(self) -> Setting:
        pems = self.certificates if any(self.certificates.glob("*.pem")) else None
        try:
            user: str | None = pwd.getpwnam(USER).pw_name if os.geteuid() == 0 else None
        except KeyError:
            user = None
        return Setting(self._files, pems, user, self.connections, self.http_port, self.https_port)

    async def _broken_certificate(self, setting: Setting) -> str | None:
        """One bad file must not take the plain routes down with it. Looked at once for each state of the folder."""
        seen = _fingerprint(setting.certificates)
        if seen != self._looked_at:
            self._verdict = None if setting.certificates is None else await self._try_certificates(setting.certificates)
            self._looked_at = seen
        return self._verdict

    async def _try_certificates(self, certificates: Path) -> str | None:
        probe = self.folder / "certificates.cfg"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_text(
            "defaults\n    mode http\n    timeout client 1s\n    timeout server 1s\n    timeout connect 1s\n"
            f"frontend probe\n    bind unix@{self.folder}/probe.sock ssl crt {certificates}\n"
        )
        try:
            await self._check(probe)
        except Failed as error:
            return f"TLS is off: {error.problem.text}"
        return None

    def _without_taken_ports(self, state: GatewayState, setting: Setting) -> tuple[GatewayState, list[str]]:
        """A port that another program listens on would keep HAProxy from taking anything new at all."""
        ours: set[int] = set()
        if self._program.pid() is not None:
            with suppress(OSError):
                ours = {int(port) for port in _BIND.findall(self._files.config.read_text())}
        taken = {port for port in config.listen_ports(state, setting) - ours if not _is_free(port)}
        http = {self.http_port, self.https_port} & taken
        kept = evolve(
            state,
            http=() if http else state.http,
            tcp=tuple(each for each in state.tcp if each.listen_port not in taken),
        )
        return kept, [f"another program listens on port {port} of this machine" for port in sorted(taken)]


def _alerts(words: str) -> str:
    """Of what HAProxy printed, on one line: each alert once."""
    return "; ".join(dict.fromkeys(_ALERT.findall(words)))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("::", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _fingerprint(certificates: Path | None) -> str:
    """Changes with every file that is replaced."""
    if certificates is None:
        return ""
    found = sorted((each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in certificates.glob("*.pem"))
    return hashlib.sha256(repr(found).encode()).hexdigest()


def crowding(row: FrontendRow) -> str | None:
    """Of a frontend that is full, or of which a source wants more than its part. None: there is room for all."""
    if row.sessions_max and row.sessions >= FULL * row.sessions_max:
        return f"{row.frontend} is full: {row.sessions} of {row.sessions_max} connections"
    if row.turned_away:
        return f"{row.frontend} turned {row.turned_away} connections away, of sources that have too many"
    return None


def _backend(name: str, servers: Sequence[ServerRow], until_ms: int | None, hold: HoldRow | None) -> BackendStatus:
    hold = hold or HoldRow(0, 0, 0, 0)
    return BackendStatus(
        name=name,
        servers=tuple(
            ServerStatus(each.server, each.is_out, each.sessions, each.errors)
            for each in servers
            if each.backend == name
        ),
        held_until_ms=until_ms,
        held=hold.now,
        held_ever=hold.ever,
        expired=hold.expired,
        turned_away=hold.turned_away,
    )


def _together(first: Mapping[str, HoldRow], second: Mapping[str, HoldRow]) -> dict[str, HoldRow]:
    zero = HoldRow(0, 0, 0, 0)
    names = first.keys() | second.keys()
    return {name: _sum(first.get(name, zero), second.get(name, zero)) for name in names}


def _sum(one: HoldRow, other: HoldRow) -> HoldRow:
    return HoldRow(
        one.now + other.now, one.ever + other.ever, one.expired + other.expired, one.turned_away + other.turned_away
    )


def _added(newest: Sequence[ServerRow], older: Sequence[ServerRow]) -> list[ServerRow]:
    """What an old worker still works on counts; what it had lost before counts no more."""
    sessions = {(each.backend, each.server): each.sessions for each in older}
    return [evolve(each, sessions=each.sessions + sessions.get((each.backend, each.server), 0)) for each in newest]
