"""The process that has a program loaded, and forks for each request: into the machine, and there runs its `main`.

    python -P -m ployz.lab.preloaded.server ployz.cli.main ployz.cli.commands

serves the listening socket that is its standard input. What follows the module of `main` are packages of which all is
imported before, since the program imports it when it is asked for.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from ployz.lab.preloaded.request import FILES, MESSAGE_MAX

NAMESPACES: Final = ("mnt", "net", "uts", "ipc", "pid")
"""In which order they are entered: the file system as it was is needed for none of the others, once they are open."""
NO_EXIT_CODE: Final = 70
FILES_MAX: Final = 1024
"""None that the server has open has a higher number."""


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this, and who closes the socket
    module, *packages = sys.argv[1:]
    importlib.import_module(module)
    for package in map(importlib.import_module, packages):
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(each.name)
    gc.collect()
    gc.freeze()  # a collection in a child would write to all these pages, and make them its own
    with socket.socket(fileno=os.dup(0)) as listening:
        while True:
            _reap()
            if select.select([listening], [], [], 1.0)[0]:
                asking, _ = listening.accept()
                with asking:
                    if os.fork() == 0:
                        listening.close()
                        _serve(module, asking)
            elif os.getppid() == 1:
                return 0  # who started it was killed


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _serve(module: str, asking: socket.socket) -> NoReturn:
    """One request, in a process of its own."""
    try:
        request, files, *_ = socket.recv_fds(asking, MESSAGE_MAX, FILES)
        if request:
            asked = json.loads(request)
            _enter(asked["pid"])
            answer = _detached(module, asked, files) if asked["detached"] else _run(module, asked, files, asking)
            asking.send(json.dumps(answer).encode())
    except OSError:
        traceback.print_exc()  # the machine lost its power: who asked hears that this ended
    finally:
        os._exit(0)


def _enter(pid: int) -> None:
    """Only a child is in the PID namespace then."""
    libc = ctypes.CDLL(None, use_errno=True)
    handles = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in NAMESPACES]
    for handle in handles:
        if libc.setns(handle, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(handle)


def _run(module: str, asked: Mapping[str, Any], files: Sequence[int], asking: socket.socket) -> Mapping[str, int]:
    """To its end, or until nobody waits for that any more."""
    program = os.fork()
    if program == 0:
        _become(module, asked, files)
    handle = os.pidfd_open(program)
    ready, *_ = select.select([handle, asking.fileno()], [], [])
    if handle not in ready:
        os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"exit_code": code if code >= 0 else 128 - code}


def _detached(module: str, asked: Mapping[str, Any], files: Sequence[int]) -> Mapping[str, int]:
    """A child of the machine's first process, as what a shell there leaves in the background."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        program = os.fork()
        if program == 0:
            os.setsid()
            _become(module, asked, files)
        os.write(writing, str(program).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(between, 0)
    return {"pid": int(os.read(reading, FILES * 8))}


def _become(module: str, asked: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    """Never returns, and runs none of what the server would run at its end."""
    exit_code = NO_EXIT_CODE
    try:
        for number, each in enumerate(files):
            os.dup2(each, number)
        os.closerange(FILES, FILES_MAX)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"] if Path(asked["folder"]).is_dir() else "/")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdin, sys.stdout, sys.stderr = (
            open(0, closefd=False),  # noqa: SIM115 - the process has it to its end
            open(1, "w", closefd=False),  # noqa: SIM115
            open(2, "w", closefd=False),  # noqa: SIM115
        )
        sys.argv = asked["argv"]
        Path("/proc/self/comm").write_text(Path(sys.argv[0]).name)  # who looks at what runs sees which program it is
        exit_code = sys.modules[module].main()
    except SystemExit as ended:
        exit_code = ended.code if isinstance(ended.code, int) else 1
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
