"""dnsmasq: a hosts file that it reads again when it is told to, and a process that outlives ployzd.

A ployzd that comes next finds it running, and changes nothing while it has nothing new to say.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from ployz.errors import Code, Failed
from ployz.host.dnsmasq.question import ask
from ployz.host.dnsmasq.text import arguments, hosts_text
from ployz.host.outliving import Outliving
from ployz.host.ports import HostRecord

RESOLVERS: Final = "/etc/resolv.conf"
STOP_S: Final = 2.0
FOLDER_MODE: Final = 0o755
FILE_MODE: Final = 0o644


@frozen
class Dnsmasq:
    folder: Path
    """Below /run, and readable for everybody: the server is not root."""
    programs: Path
    """For its number and its log."""
    domain: str
    listens_on: tuple[str, ...]
    """Addresses, one of IPv4 among them."""
    resolvers: str = RESOLVERS
    """Who is asked for everything else, as resolv.conf(5)."""

    async def serve(self, records: Sequence[HostRecord]) -> None:
        changed = self._write(hosts_text(records))
        program = self.program()
        pid = program.pid()
        if pid is not None and _argv_of(pid) != program.argv:
            await program.stop(grace_s=STOP_S)  # of an older ployz
            pid = None
        if pid is None:
            await program.start()
        elif changed:
            program.signal(signal.SIGHUP)

    async def addresses(self, name: str, *, timeout_s: float) -> frozenset[str]:
        server = next(each for each in self.listens_on if ":" not in each)
        try:
            with anyio.fail_after(timeout_s):
                return await ask(server, name)
        except TimeoutError:
            why = f"did not answer within {timeout_s:g} s"
        except (OSError, ValueError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            why = f"does not answer: {str(error) or type(error).__name__}"
        raise Failed(Code.PART_FAILED, f"the name server on {server} {why}", "Look there: journalctl -u ployzd")

    def _write(self, text: str) -> bool:
        """Whether it was another. Whoever reads it meanwhile reads the old or the new one, whole."""
        try:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self.folder.chmod(FOLDER_MODE)
            if self._hosts.exists() and self._hosts.read_text() == text:
                return False
            part = self._hosts.with_suffix(".part")
            part.write_text(text)
            part.chmod(FILE_MODE)
            part.replace(self._hosts)
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"{self._hosts} could not be written: {error}") from error
        return True

    def program(self) -> Outliving:
        argv = arguments(str(self._hosts), self.domain, self.listens_on, self.resolvers)
        return Outliving("dnsmasq", self.programs, argv, mark=f"--addn-hosts={self._hosts}")

    @property
    def _hosts(self) -> Path:
        return self.folder / "hosts"


def _argv_of(pid: int) -> tuple[str, ...]:
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0"))
    except OSError:
        return ()
