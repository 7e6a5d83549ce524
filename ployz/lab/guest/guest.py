"""One guest that runs: its power, and a way to run commands in it.

It is a child of this process and dies with it. Its disks are layers and sparse files in a folder of the caller's.
"""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Final

from ployz.lab.guest import qemu
from ployz.lab.guest.image import Image
from ployz.lab.programs import failed, run

BOOT_S: Final = 900.0
"""Half a minute on two idle cores."""
POWER_OFF_S: Final = 90.0
COMMAND_S: Final = 300.0
POLL_S: Final = 0.2
SERIAL_LINES: Final = 15
_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
"""To be started by the main thread: the kernel counts the end of a thread as its parent's."""

Done = subprocess.CompletedProcess[str]


class Guest:
    def __init__(self, image: Image, name: str, folder: Path, *, cable: qemu.Cable | None = None) -> None:
        self.name = name
        self._image = image
        self._folder = folder
        self._cable = cable
        self._port = 0
        self._machine: subprocess.Popen[bytes] | None = None
        self._door: subprocess.Popen[bytes] | None = None

    # ---------------------------------------------------------------- power

    def power_on(self) -> None:
        """With the disks that it had, or new ones. Returns at once."""
        self._folder.mkdir(exist_ok=True)
        if not self._root.exists():
            argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self._image.disk)]
            run([*argv, str(self._root)])
            for disk in self._data:
                run(["truncate", "--size", qemu.DATA_SIZE, str(disk)])
        self._port = qemu.free_port()
        argv = qemu.argv(
            self._image, self.name, self._root, self._data, self._serial, door_port=self._port, cable=self._cable
        )
        with (self._folder / "qemu.log").open("ab") as log:
            self._machine = subprocess.Popen([*_WITH_US, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until_up(self) -> None:
        """Until it takes commands. `Failed`, with what it said last, when it does not."""
        end_s = time.monotonic() + BOOT_S
        while not self._opened():
            if self._machine is None or self._machine.poll() is not None:
                raise failed(f"{self.name}: the virtual machine ended: {self._said()}")
            if time.monotonic() > end_s:
                raise failed(f"{self.name} did not boot within {BOOT_S:g} s: {self._said()}")
            time.sleep(POLL_S)

    def power_cut(self) -> None:
        """What it had not brought to its disk is lost. `power_on` boots it again."""
        self._close_door()
        if self._machine is not None:
            self._machine.kill()
            self._machine.wait()
            self._machine = None

    def reboot(self) -> None:
        """As an operator does it, with everything shut down in its order. Returns when it takes commands again."""
        self.try_("systemctl", "poweroff")
        if self._machine is not None:
            with suppress(subprocess.TimeoutExpired):
                self._machine.wait(POWER_OFF_S)
        self.power_cut()
        self.power_on()
        self.wait_until_up()

    # ---------------------------------------------------------------- commands

    def try_(self, *argv: str, stdin: bytes = b"", deadline_s: float = COMMAND_S) -> Done:
        """Runs it as root. An exit code of 255 can be ssh's own."""
        try:
            done = subprocess.run(self.enter(*argv), input=stdin, capture_output=True, timeout=deadline_s, check=False)
        except subprocess.TimeoutExpired:
            raise failed(f"{self.name}: {shlex.join(argv)}: not done within {deadline_s:g} s") from None
        return Done(argv, done.returncode, *(each.decode(errors="replace") for each in (done.stdout, done.stderr)))

    def run(self, *argv: str, stdin: bytes = b"", deadline_s: float = COMMAND_S) -> str:
        """What it printed. `Failed`, with its words, if it ends with anything but 0."""
        done = self.try_(*argv, stdin=stdin, deadline_s=deadline_s)
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()
            raise failed(f"{self.name}: {shlex.join(argv)}: {words or f'exit code {done.returncode}'}")
        return done.stdout

    def follow(self, *argv: str, say: Callable[[str], None], deadline_s: float) -> int:
        """Says each line as it is printed. The exit code."""
        with subprocess.Popen(
            self.enter(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            too_long = Timer(deadline_s, process.kill)
            too_long.start()
            try:
                assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
                for line in process.stdout:
                    say(line.rstrip())
                return process.wait()
            finally:
                too_long.cancel()
                process.kill()

    def enter(self, *argv: str) -> list[str]:
        """The argv that runs this one in the guest; without one, a shell."""
        return [*self._ssh, "-S", str(self._control), "root@127.0.0.1", *([shlex.join(argv)] if argv else ())]

    def put(self, files: Mapping[str, Path | bytes]) -> None:
        """Each to its absolute path. A folder comes with all that is in it, without what Python made beside it."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, content in files.items():
                if isinstance(content, bytes):
                    info = tarfile.TarInfo(path.lstrip("/"))
                    info.size, info.mode = len(content), 0o644
                    tar.addfile(info, io.BytesIO(content))
                else:
                    tar.add(content, path.lstrip("/"), filter=_ours)
        self.run("tar", "-C", "/", "--no-overwrite-dir", "--no-same-owner", "-xf", "-", stdin=archive.getvalue())

    # ---------------------------------------------------------------- below

    @property
    def _root(self) -> Path:
        return self._folder / "root.qcow2"

    @property
    def _data(self) -> Sequence[Path]:
        return [self._folder / f"{serial}.img" for serial in qemu.DATA_SERIALS]

    @property
    def _serial(self) -> Path:
        return self._folder / "serial.log"

    @property
    def _control(self) -> Path:
        return self._folder / "door"

    @property
    def _ssh(self) -> list[str]:
        options = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
                   "ConnectTimeout": "5", "BatchMode": "yes", "IdentitiesOnly": "yes"}  # fmt: skip
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "none", "-i", str(self._image.key), "-p", str(self._port), *words]

    def _opened(self) -> bool:
        """One connection for all commands: a handshake costs seconds there. It ends with the machine."""
        if self._door is None or self._door.poll() is not None:
            argv = [*self._ssh, "-M", "-N", "-S", str(self._control), "root@127.0.0.1"]
            quiet = subprocess.DEVNULL
            self._door = subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=quiet)
        asked = ["ssh", "-F", "none", "-S", str(self._control), "-O", "check", "root@127.0.0.1"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def _close_door(self) -> None:
        if self._door is not None:
            self._door.kill()
            self._door.wait()
            self._door = None
        self._control.unlink(missing_ok=True)

    def _said(self) -> str:
        texts = [
            path.read_text(errors="replace") for path in (self._folder / "qemu.log", self._serial) if path.exists()
        ]
        return "\n".join("".join(texts).splitlines()[-SERIAL_LINES:]) or "it said nothing"


def _ours(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith("/__pycache__") else member
