"""Programs that go on without ployzd: started once, found again by the ployzd that comes next, stopped by name.

Each is in a session of its own and nobody's child; where systemd runs, in a scope of its own too, so that whatever
becomes of ployzd's service leaves it alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from ployz.errors import Code, Failed

SPAWN_S: Final = 5.0
LOOK_EVERY_S: Final = 0.02
SYSTEMD: Final = Path("/run/systemd/system")
"""There exactly when systemd is the init system (sd_booted(3))."""
EXEC_LOOKS: Final = 50
EXEC_LOOK_S: Final = 0.001
ZOMBIE: Final = b"Z"
WORDS_BYTES_MAX: Final = 2000
# Its number is written down by the process itself, before it becomes the program: no moment is without one.
_LAUNCH: Final = 'echo $$ >"$0.part" && mv "$0.part" "$0" && log=$1 && shift && exec "$@" >"$log" 2>&1'


@frozen
class Outliving:
    """One program. Two values with the same name and folder speak of the same one."""

    name: str
    """`haproxy`: of its scope, its pid file and its log."""
    folder: Path
    """Below /run: a power cut clears it, and the program with it."""
    argv: tuple[str, ...]
    mark: str
    """One of its arguments that no other program on this machine has, such as the path of its configuration."""

    async def start(self) -> int:
        """Its process number. Runs already is done. `Failed`: MISSING_PART, or PART_FAILED with its own words."""
        running = self.pid()
        if running is not None:
            return running
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._pid_file.unlink(missing_ok=True)
        await self._spawn()
        await _until(lambda: self._pid_file.exists() and not self._is_launching(), within_s=SPAWN_S)
        started = self.pid()
        if started is None:
            raise Failed(Code.PART_FAILED, f"{self.name} did not start: {self.words() or 'it said nothing'}")
        return started

    def pid(self) -> int | None:
        """None: it does not run."""
        try:
            number = int(self._pid_file.read_text())
            return number if self.mark.encode() in _arguments(number) else None
        except (OSError, ValueError):
            return None

    def _is_launching(self) -> bool:
        """Its process is the shell yet, whose arguments have the mark in them too, and may never become the program."""
        try:
            return _LAUNCH.encode() in _arguments(int(self._pid_file.read_text()))
        except (OSError, ValueError):
            return False

    def signal(self, number: signal.Signals) -> bool:
        """Whether there was somebody to tell."""
        running = self.pid()
        if running is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(running, number)
        return True

    async def stop(self, *, grace_s: float) -> None:
        """With everything that it started. Does not run is done."""
        running = self.pid()
        if running is None:
            return
        self.signal(signal.SIGTERM)
        await _until(lambda: self.pid() is None, within_s=grace_s)
        with suppress(ProcessLookupError):
            os.killpg(running, signal.SIGKILL)
        await _until(lambda: self.pid() is None, within_s=SPAWN_S)
        self._pid_file.unlink(missing_ok=True)

    def words(self) -> str:
        """The last of what it printed since it was started."""
        try:
            return " ".join(self._log_file.read_bytes()[-WORDS_BYTES_MAX:].decode(errors="replace").split())
        except OSError:
            return ""

    async def _spawn(self) -> None:
        try:
            with anyio.fail_after(SPAWN_S):
                await anyio.run_process(
                    launch_argv(self, with_systemd=SYSTEMD.is_dir()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
        except (OSError, subprocess.CalledProcessError, TimeoutError) as error:
            raise Failed(Code.PART_FAILED, f"{self.name} could not be started: {error}") from error

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    @property
    def _log_file(self) -> Path:
        return self.folder / f"{self.name}.log"


def launch_argv(program: Outliving, *, with_systemd: bool) -> Sequence[str]:
    scope = ("systemd-run", "--scope", "--quiet", "--collect", f"--unit=ployz-{program.name}") if with_systemd else ()
    files = (str(program.folder / f"{program.name}.pid"), str(program.folder / f"{program.name}.log"))
    return ("setsid", "--fork", *scope, "sh", "-c", _LAUNCH, *files, *program.argv)


def _arguments(number: int) -> list[bytes]:
    """`OSError`: there is no such process. One that is just becoming another program has none for an instant."""
    for _ in range(EXEC_LOOKS):
        arguments = Path(f"/proc/{number}/cmdline").read_bytes()
        state = Path(f"/proc/{number}/stat").read_bytes().rpartition(b") ")[2][:1]
        if arguments or state == ZOMBIE:
            return arguments.split(b"\0")
        time.sleep(EXEC_LOOK_S)
    return []


async def _until(holds: Callable[[], bool], *, within_s: float) -> None:
    """Or until the time is over: the caller looks."""
    with anyio.move_on_after(within_s):
        while not holds():  # noqa: ASYNC110 - nobody tells when another program did something
            await anyio.sleep(LOOK_EVERY_S)
