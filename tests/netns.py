"""Network namespaces for tests of real parts: a machine, a container, a switch, each held by one process.

They have no names. When the test process ends, however it ends, the kernel ends the holders, and with them everything
that ran inside.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.real import PATIENCE

_END_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_HOLD = ("sh", "-c", "echo held; exec sleep infinity")


@frozen
class NetworkNamespace:
    pid: int
    """Of a process in it, as this process sees it."""
    whole: bool = False
    """It also has mounts (a private /run) and process ids of its own."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Put before an argv, this runs it inside."""
        return ("nsenter", "-t", str(self.pid), "-n", *(("-m", "-p") if self.whole else ()))

    def try_(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.prefix, *argv], input=stdin, capture_output=True, text=True, timeout=30 * PATIENCE, check=False
        )

    def run(self, *argv: str, stdin: str = "") -> str:
        done = self.try_(*argv, stdin=stdin)
        assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Each line is one `ip` command. Process ids in them are those that this process sees."""
        NetworkNamespace(self.pid).run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))

    def reaches(self, address: str) -> bool:
        """Whether one single packet is answered: nothing is sent a second time."""
        return self.try_("ping", "-n", "-c", "1", "-W", f"{5 * PATIENCE:g}", address).returncode == 0


@contextmanager
def network() -> Iterator[NetworkNamespace]:
    """A network and nothing else, with its loopback up: a container's, or a switch's."""
    with _held("unshare", "--net") as holder:
        namespace = NetworkNamespace(holder.pid)
        namespace.ip("link set lo up")
        yield namespace


@contextmanager
def machine() -> Iterator[NetworkNamespace]:
    """Network, mounts and process ids, so that a daemon inside has its own /run, and ends with the machine."""
    with _held("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc") as holder:
        first = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0]
        namespace = NetworkNamespace(int(first), whole=True)
        namespace.run("mount", "-t", "tmpfs", "run", "/run")
        namespace.run("mkdir", "/run/lock")
        namespace.ip("link set lo up")
        yield namespace


@contextmanager
def _held(*unshare: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([*_END_WITH_US, *unshare, *_HOLD], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()
