"""A program that runs on in a machine, apart from the lab's own process, and is found again by its pid file.

The file lies in the machine's private /run, which a power cut empties, and counts as its PID namespace does: it can
only ever name a process of that machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from ployz.lab.namespaces import Namespaces
from ployz.lab.preloaded import programs as preloaded
from ployz.lab.programs import failed, wait_until

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_TAIL_LINES = 8
DEATH_S = 10

_START = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'


@frozen
class Daemon:
    namespaces: Namespaces
    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(factory=dict)

    @property
    def _pid_file(self) -> Path:
        return self.namespaces.root / "run/lab" / f"{self.name}.pid"

    def start(self) -> None:
        """Unless it runs. Returns at once: whoever needs it ready waits with `wait_until_ready`."""
        if self.alive():
            return
        self.log.parent.mkdir(exist_ok=True)
        variables = {"PATH": SEARCH_PATH, "HOME": "/root", "LANG": "C.UTF-8", **self.environment}
        if place := preloaded.find(self.argv):
            pid = preloaded.start(place, self.namespaces.pid, self.argv[-1:], variables, self.log)
        else:
            words = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
            pid = int(self.namespaces.run([*words, "sh", "-c", _START, "sh", str(self.log), *self.argv]))
        self._pid_file.write_text(f"{pid} {self._started(pid)}\n")

    def pid(self) -> int | None:
        """As the machine counts; `None` when it does not run."""
        try:
            pid, started = self._pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if self._started(int(pid)) == started else None

    def alive(self) -> bool:
        return self.pid() is not None

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        pid = self.pid()
        if pid is not None:
            self.namespaces.run(["kill", "-KILL", str(pid)])
            wait_until(f"{self.namespaces.who}: the end of {self.name}", lambda: not self.alive(), deadline_s=DEATH_S)

    def require_alive(self) -> None:
        if not self.alive():
            raise failed(f"{self.namespaces.who}: {self.name} ended: {self.last_words()}", f"Its whole log: {self.log}")

    def last_words(self) -> str:
        if not self.log.exists():
            return "it said nothing"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def _started(self, pid: int) -> str | None:
        """The start time in ticks, which tells a process from a later one with its pid. `None`: gone, or a zombie."""
        try:
            stat = (self.namespaces.root / "proc" / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, *fields = stat.rpartition(") ")[2].split()
        return None if state == "Z" else fields[18]
