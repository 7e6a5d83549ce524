"""The lab's cluster as an operator has it: ployzctl on any machine, and each machine's own view of what runs there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from attrs import frozen

import ployz.lab.lab
from ployz.lab import namespaces
from ployz.lab.machine import PROGRAMS
from ployz.lab.preloaded import programs as preloaded
from ployz.lab.state import LabName
from ployz.lab.status import look
from tests.labs import COMMAND_S, Lab

MACHINES = ("machine-a", "machine-b", "machine-c")
SOON_S = 30.0
"""What happens by itself has happened by then, on a busy machine too."""

Manifest = Mapping[str, Any]
T = TypeVar("T")


@frozen
class Answer:
    """What ployzctl --json said, and how it ended."""

    exit_code: int
    lines: list[dict[str, Any]]
    stderr: str

    @classmethod
    def of(cls, process: subprocess.Popen[str], stdout: str, stderr: str) -> Self:
        return cls(process.returncode, [json.loads(line) for line in stdout.splitlines()], stderr)

    @property
    def code(self) -> str:
        return str(self.lines[-1]["code"])

    @property
    def message(self) -> str:
        return str(self.lines[-1]["message"])

    @property
    def payload(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lines[-1]["payload"]
        return found

    @property
    def advice(self) -> str:
        """Of a refusal, or of an operation that did not end well."""
        problem = self.payload.get("problem") or self.payload
        return str(problem["advice"])


class Going:
    """An operation that goes on, told line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[dict[str, Any]] = []
        self.operation_id = str(self.until(lambda line: line["kind"] == "operation.accepted")["operation_id"])

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next line that is wanted."""
        assert self._process.stdout is not None
        for text in self._process.stdout:
            self._lines.append(json.loads(text))
            payload: dict[str, Any] = self._lines[-1]["payload"]
            if wanted(payload):
                return payload
        raise AssertionError(f"it ended before that: {self._lines}")

    def end(self) -> Answer:
        stdout, stderr = self._process.communicate(timeout=COMMAND_S)
        self._lines += [json.loads(line) for line in stdout.splitlines()]
        return Answer(self._process.returncode, self._lines, stderr)


class Cluster(Lab):
    """Three machines that are one cluster. Every command may be given on any of them.

    Commands in a machine, of which there are thousands, are entered directly, by what `bin/lab exec` enters them with:
    starting its interpreter each time cost more than most of these commands. The same holds for ployzctl and ployzd,
    which are loaded once for all of them (ployz.lab.preloaded).
    """

    def try_(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        match arguments:
            case ("exec", machine, "--", "ployzctl", *argv) if (pid := self._pid(machine)) and (
                place := preloaded.find([str(PROGRAMS / "ployzctl")])
            ):
                return preloaded.run(place, pid, ["ployzctl", *argv], _environment(), stdin, COMMAND_S)
            case ("cut", first, second):
                self._lab.cut(first, second, one_way=False)  # a stream that is nearly over does not wait for a start
                return subprocess.CompletedProcess(arguments, 0, "", "")
            case ("exec", machine, "--", *argv) if self._pid(machine):
                return subprocess.run(
                    self._command_line(machine, argv),
                    input=stdin,
                    capture_output=True,
                    text=True,
                    timeout=COMMAND_S,
                    check=False,
                )
        return super().try_(*arguments, stdin=stdin)

    def status(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(json.dumps(look(self._lab).to_json()))["payload"]
        return payload

    @property
    def _lab(self) -> ployz.lab.lab.Lab:
        return ployz.lab.lab.Lab(LabName(self.name))

    def _pid(self, machine: str) -> int | None:
        """Of its first process. `None`: it has no power, or there is no such machine, as bin/lab will say."""
        found = namespaces.find(self.folder, machine)
        return found.pid if found else None

    def _command_line(self, machine: str, argv: Sequence[str]) -> list[str]:
        return self._lab.command_line(machine, argv)

    def start(self, machine: str, *argv: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """A command in a machine, in the background."""
        return subprocess.Popen(
            self._command_line(machine, argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, machine: str, program: str, *arguments: str) -> str:
        return self.inside(machine, sys.executable, "-c", program, *arguments)

    # ------------------------------------------------------------ ployzctl

    def ctl(self, *arguments: str, on: str = "machine-a", stdin: str = "") -> Answer:
        done = self.try_("exec", on, "--", "ployzctl", "--json", *arguments, stdin=stdin)
        try:
            lines = [json.loads(line) for line in done.stdout.splitlines()]
        except ValueError:
            raise AssertionError(f"this is not JSON lines: {done.stdout}{done.stderr}") from None
        assert "Traceback" not in done.stderr, done.stderr
        assert lines or done.returncode == 2, done.stderr
        return Answer(done.returncode, lines, done.stderr)

    def get(self, *arguments: str, on: str = "machine-a", stdin: str = "") -> dict[str, Any]:
        """The payload of a command that must go well."""
        answer = self.ctl(*arguments, on=on, stdin=stdin)
        assert (answer.exit_code, answer.code) == (0, "ok"), answer
        assert all(line["ok"] for line in answer.lines)
        return answer.payload

    @contextmanager
    def going_on(self, service: str, to: str, on: str = "machine-a") -> Iterator[Going]:
        """A move in the background, from its acceptance on. It is at its end when the block is left."""
        argv = ["ployzctl", "--json", "migrate", "apply", service, "--to", to]
        with self.start(on, *argv, stdin=subprocess.DEVNULL) as process:
            try:
                yield Going(process)
            except BaseException:
                process.kill()
                raise

    def deploy(self, manifest: Manifest, *options: str, on: str = "machine-a") -> dict[str, Any]:
        return self.get("deploy", "-f", "-", *options, on=on, stdin=json.dumps(manifest))

    def try_deploy(self, manifest: Manifest, *options: str, on: str = "machine-a") -> Answer:
        return self.ctl("deploy", "-f", "-", *options, on=on, stdin=json.dumps(manifest))

    def preview(self, manifest: Manifest, on: str = "machine-a") -> dict[str, Any]:
        return self.get("deploy", "preview", "-f", "-", on=on, stdin=json.dumps(manifest))

    def migrate(self, service: str, to: str, on: str = "machine-a") -> dict[str, Any]:
        return self.get("migrate", "apply", service, "--to", to, on=on)

    def try_migrate(self, service: str, to: str, on: str = "machine-a") -> Answer:
        return self.ctl("migrate", "apply", service, "--to", to, on=on)

    def facts(self) -> int:
        """How many there are: what was refused has added none."""
        return int(self.get("machine", "ls")["position"])

    def slots(self, service: str) -> list[dict[str, Any]]:
        """What and where they are, without since when: a container that was started again is the same slot."""
        rows: list[dict[str, Any]] = self.get("service", "ls")["slots"]
        return [{key: row[key] for key in row.keys() - {"since_ms"}} for row in rows if row["service"] == service]

    def slot(self, service: str) -> dict[str, Any]:
        (found,) = self.slots(service)
        return found

    def volume(self, volume: str) -> dict[str, Any]:
        return self.get("volume", "show", volume)

    def daemon_log(self, machine: str) -> str:
        return (self.folder / machine / "logs" / "ployzd.log").read_text()

    # ------------------------------------------------------------ the machines, without ployz

    def containers(self, machine: str, namespace: str, *options: str) -> list[str]:
        """Names of the containers of a namespace, stopped ones too."""
        listed = ["docker", "ps", "-a", "--format", "{{.Names}}", "--filter", f"label=ployz.namespace={namespace}"]
        return self.inside(machine, *listed, *options).split()

    def container(self, machine: str, service: str) -> str:
        namespace, name = service.split("/")
        (found,) = self.containers(machine, namespace, "--filter", f"label=ployz.service={name}")
        return found

    def inspect(self, machine: str, container: str, format_: str) -> str:
        return self.inside(machine, "docker", "inspect", "-f", format_, container).strip()

    def in_container(self, machine: str, service: str, *argv: str) -> str:
        return self.inside(machine, "docker", "exec", self.container(machine, service), *argv)

    def datasets(self, machine: str, namespace: str) -> list[str]:
        """Volumes and snapshots of a namespace."""
        root = f"tank/ployz/{namespace}"
        names = self.inside(machine, "zfs", "list", "-H", "-o", "name", "-t", "all").split()
        return [name for name in names if name == root or name.startswith(f"{root}/")]

    def inventory(self, machine: str) -> str:
        """Every dataset, snapshot and container, asked for at once."""
        ask = "zfs list -H -t all -o name | sed 's/$/ /'; docker ps -a --format '{{.ID}} {{.Names}} '"
        return self.inside(machine, "sh", "-c", ask)

    def routes(self, machine: str) -> list[str]:
        """Where this machine sends what is meant for workloads, and from whom it takes what."""
        allowed = self.inside(machine, "wg", "show", "ployz0", "allowed-ips")
        four, six = (["ip", family, "route", "show", "dev", "ployz0"] for family in ("-4", "-6"))
        routes = self.inside(machine, *four) + self.inside(machine, *six)
        return sorted(allowed.split()) + sorted(routes.splitlines())


def _environment() -> dict[str, str]:
    """What `bin/lab exec` gives a command."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DOCKER_HOST", "PYTHONPATH"}}
    return kept | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:{PROGRAMS}"}


def eventually(look: Callable[[], T], wanted: Callable[[T], bool] = bool, within_s: float = SOON_S) -> T:
    """Looks until what is wanted is seen."""
    deadline_s = time.monotonic() + within_s
    while not wanted(found := look()):
        assert time.monotonic() < deadline_s, f"still {found!r} after {within_s:g} s"
        time.sleep(0.1)
    return found


def no_trace_on(cluster: Cluster, machine: str, namespace: str) -> bool:
    return not re.search(rf"[/ ]{namespace}[./@\s]", cluster.inventory(machine))
