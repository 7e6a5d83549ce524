"""Another machine over ssh, before ployz runs there: what it is called, and one command at a time.

Whom to trust, with which key and by which way is ssh's own matter: known hosts and configuration are the operator's.
"""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from ployz.errors import Code, Failed, Problem
from ployz.ids import InvalidName, MachineId

CONNECT_S: Final = 15
COMMAND_S: Final = 300.0
LOST_EXIT: Final = 255
"""Of ssh itself (ssh(1), EXIT STATUS): the remote command has no word in it, or it was lost."""
_LOOK: Final = "command -v {program} >/dev/null || {{ echo '{program} is not installed' >&2; exit 127; }}; hostname"
_START: Final = "test ! -d /run/systemd/system || {sudo}systemctl enable --now ployzd.service"


@frozen
class Remote:
    """`root@192.0.2.7`, or whatever else ssh takes for a destination."""

    destination: str
    program: str = "ployzctl"
    config: Path | None = field(default=None, kw_only=True)
    """Of ssh. None: the operator's own."""

    def look(self) -> MachineId:
        """The first label of its host name. `Failed` (SSH_FAILED): it is not reached, or has no ployz."""
        said = self._ask(_LOOK.format(program=shlex.quote(self.program))).strip()
        try:
            return MachineId(said.partition(".")[0].lower())
        except InvalidName as error:
            raise Failed(
                Code.SSH_FAILED, f"{self.destination} is called {said!r}: {error}", "Name it: NAME=USER@HOST."
            ) from error

    def address(self) -> str:
        """The IP address to which ssh goes, by its configuration. `Failed` (SSH_FAILED): the name is unknown."""
        settings = dict(line.partition(" ")[::2] for line in self._run(["-G"], None, stdin="").stdout.splitlines())
        host = settings.get("hostname", self.destination.rpartition("@")[2])
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Failed(Code.SSH_FAILED, f"{host} has no address: {error.strerror}", "Give --endpoint.") from error
        return str(found[0][4][0])

    def join(self, token: str, machine: MachineId, endpoint: str, options: list[str]) -> None:
        """`machine join` there, which reads the token from its standard input: no list of processes shows it.

        `Failed` with the code of what was refused there, or SSH_FAILED: then it may have joined.
        """
        argv = [self.program, "--json", "machine", "join", "-", "--machine", machine, "--endpoint", endpoint, *options]
        done = self._run([], self._sudo + shlex.join(argv), stdin=f"{token}\n")
        if done.returncode != 0:
            problem = _refusal(done.stdout) or Problem(Code.SSH_FAILED, self._words(done), self._hint(done))
            raise Failed(problem.code, problem.text, problem.advice)

    def start(self) -> None:
        """ployzd, where systemd runs. `Failed` (SSH_FAILED): it did not come up."""
        self._ask(_START.format(sudo=self._sudo))

    # ------------------------------------------------------------ inside

    @property
    def _sudo(self) -> str:
        return "" if self.destination.startswith("root@") else "sudo -n "

    def _ask(self, command: str) -> str:
        done = self._run([], command, stdin="")
        if done.returncode != 0:
            raise Failed(Code.SSH_FAILED, self._words(done), self._hint(done))
        return done.stdout

    def _run(self, options: list[str], command: str | None, *, stdin: str) -> subprocess.CompletedProcess[str]:
        own = ["-F", str(self.config)] if self.config else []
        patience = ["-o", f"ConnectTimeout={CONNECT_S}", "-o", "ServerAliveInterval=15"]
        argv = ["ssh", "-T", "-o", "BatchMode=yes", *patience, *own, *options, "--", self.destination]
        try:
            return subprocess.run(
                [*argv, *([command] if command is not None else [])],
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_S,
                check=False,
            )
        except FileNotFoundError:
            raise Failed(Code.MISSING_PART, "there is no ssh on this machine", "Install openssh-client.") from None
        except subprocess.TimeoutExpired:
            raise Failed(Code.SSH_FAILED, f"nothing came back from {self.destination} in {COMMAND_S:g} s") from None

    def _words(self, done: subprocess.CompletedProcess[str]) -> str:
        said = " ".join(done.stderr.split()) or f"it ended with {done.returncode} and said nothing"
        return f"{self.destination}: {said[-500:]}"

    def _hint(self, done: subprocess.CompletedProcess[str]) -> str:
        if done.returncode == LOST_EXIT:
            return f"`ssh {self.destination}` must work without a question: its key known, yours accepted."
        return f"Install ployz there, and let that user do it: `ssh {self.destination} {self._sudo}{self.program}`."


def _refusal(stdout: str) -> Problem | None:
    """What ployzctl said there, as --json has it."""
    for line in reversed(stdout.splitlines()):
        try:
            said: Any = json.loads(line)
            if said["ok"] is False:
                return Problem(Code(said["code"]), str(said["message"]), str(said["payload"].get("advice", "")))
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
    return None
