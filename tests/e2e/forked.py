"""ployzctl without the start of its interpreter: a process that has imported it forks for each command of a test.

What it runs is ployz.cli.main.main, as `ployzctl` does, in a process of its own inside the machine's namespaces. The
programs in bin/ have tests of their own. Starting one takes 0.1 to 0.35 s of processor time, most of it for making
classes, and these tests give thousands of commands.

    python -m tests.e2e.forked    # serves the socket that is its standard input, until that is closed
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

REQUEST_MAX: Final = 1 << 20
FILES: Final = 3
NAMESPACES: Final = ("mnt", "net", "uts", "ipc", "pid")
"""In which order they are entered: the file system as it was is needed for none of the others, once they are open."""
ROOT: Final = Path(__file__).parents[2]


class Commands:
    """The server, seen from the tests. One command at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        with theirs:
            self._process = subprocess.Popen([sys.executable, "-P", "-m", "tests.e2e.forked"], stdin=theirs.fileno())

    def run(
        self, pid: int, argv: Sequence[str], stdin: str, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """`pid`: of a process in the machine. `subprocess.TimeoutExpired`: the command was killed."""
        with tempfile.TemporaryFile("w+") as source, _output() as said, _output() as complained:
            source.write(stdin)
            source.seek(0)
            request = json.dumps(
                {
                    "pid": pid,
                    "folder": str(Path.cwd()),
                    "argv": argv,
                    "environment": dict(environment),
                    "timeout_s": timeout_s,
                }
            )
            files = [each.fileno() for each in (source, said, complained)]
            socket.send_fds(self._socket, [request.encode()], files)
            answer = json.loads(self._socket.recv(REQUEST_MAX))
            said.seek(0)
            complained.seek(0)
            output, complaint = said.read(), complained.read()
        if answer["exit_code"] is None:
            raise subprocess.TimeoutExpired(["ployzctl", *argv], timeout_s, output, complaint)
        return subprocess.CompletedProcess(["ployzctl", *argv], answer["exit_code"], output, complaint)

    def close(self) -> None:
        self._socket.close()
        self._process.wait(timeout=30)


def _output() -> Any:
    return tempfile.TemporaryFile("w+", errors="backslashreplace")


# ---------------------------------------------------------------- the server


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which close the socket
    for path in (ROOT / "ployz/cli/commands").rglob("*.py"):
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    with socket.socket(fileno=os.dup(0)) as server:
        while True:
            request, files, *_ = socket.recv_fds(server, REQUEST_MAX, FILES)
            if not request:
                return 0
            exit_code = _serve(json.loads(request), files)
            for each in files:
                os.close(each)
            server.send(json.dumps({"exit_code": exit_code}).encode())


def _serve(request: Mapping[str, Any], files: Sequence[int]) -> int | None:
    """The exit code as a shell counts it; None: it was killed after its time."""
    waiter = os.fork()
    if waiter == 0:
        _enter(request["pid"])
        command = os.fork()  # only a child is in the PID namespace that was entered
        if command == 0:
            _become(request, files)
        _, status = os.waitpid(command, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    handle = os.pidfd_open(waiter)
    try:
        ended = _ends_within(handle, request["timeout_s"])
        if not ended:
            _kill_all(waiter)
        _, status = os.waitpid(waiter, 0)
        return os.waitstatus_to_exitcode(status) if ended else None
    finally:
        os.close(handle)


def _ends_within(handle: int, timeout_s: float) -> bool:
    return bool(select.select([handle], [], [], timeout_s)[0])


def _kill_all(waiter: int) -> None:
    children = Path(f"/proc/{waiter}/task/{waiter}/children").read_text().split()
    for pid in [*map(int, children), waiter]:
        with suppress(ProcessLookupError):
            os.kill(pid, 9)


def _enter(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handles = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in NAMESPACES]
    for handle in handles:
        if libc.setns(handle, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(handle)


def _become(request: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    """Never returns, and runs none of what the server would run at its end."""
    exit_code = 70
    try:
        for number, each in enumerate(files):
            os.dup2(each, number)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"] if Path(request["folder"]).is_dir() else "/")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdin, sys.stdout, sys.stderr = (
            open(0, closefd=False),  # noqa: SIM115 - the process has it to its end
            open(1, "w", closefd=False),  # noqa: SIM115
            open(2, "w", closefd=False),  # noqa: SIM115
        )
        sys.argv = ["ployzctl", *request["argv"]]
        from ployz.cli.main import main as ployzctl

        exit_code = ployzctl()
    except SystemExit as asked:
        exit_code = asked.code if isinstance(asked.code, int) else 1
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        exit_code = 1
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(exit_code)


if __name__ == "__main__":
    sys.exit(main())
