"""Which programs are loaded, for whom, and asking them to run: found by the words that would start them otherwise.

Whoever wants many starts serves them for as long as it runs; its child processes find them by the environment.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from ployz.lab.preloaded import request, server

VARIABLE: Final = "PLOYZ_LAB_PRELOADED"
"""The folder with a socket for each program. Not set: each start is one of an interpreter."""
END_S: Final = 30


@contextmanager
def serving(programs: Mapping[tuple[str, ...], Sequence[str]]) -> Iterator[None]:
    """By the words that start a program: the module of its `main`, and packages of which it may need anything. What
    precedes the program itself (`setpriv …`) holds for it here too.

    In a process that is served already, nothing is done.
    """
    if os.environ.get(VARIABLE):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ployz-preloaded-") as folder, ExitStack() as until:
        for words, modules in programs.items():
            until.enter_context(_served(_place(folder, words), words[:-1], modules))
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[VARIABLE]


@contextmanager
def _served(place: Path, before: Sequence[str], modules: Sequence[str]) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(place))
        listening.listen(64)
        argv = [*before, sys.executable, "-P", "-m", server.__name__, *modules]
        process = subprocess.Popen(argv, stdin=listening.fileno(), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(END_S)


def find(words: Sequence[str]) -> str | None:
    """The socket of the program that these words start."""
    folder = os.environ.get(VARIABLE)
    place = _place(folder, words) if folder else None
    return str(place) if place and place.exists() else None


def start(place: str, pid: int, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Its pid, as the machine counts. It runs on by itself, and appends what it says to `log`."""
    with Path(os.devnull).open() as nothing, log.open("ab") as said:
        files = [nothing.fileno(), said.fileno(), said.fileno()]
        return int(request.ask(place, pid, argv, environment, files, detached=True, timeout_s=END_S)["pid"])


def run(
    place: str, pid: int, argv: Sequence[str], environment: Mapping[str, str], stdin: str | None, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """`subprocess.TimeoutExpired`: it was killed."""
    with _file(stdin or "") as source, _file() as said, _file() as complained:
        files = [each.fileno() for each in (source, said, complained)]
        try:
            exit_code = request.ask(place, pid, argv, environment, files, timeout_s=timeout_s)["exit_code"]
        except TimeoutError:
            exit_code = None
        output, complaint = (_text(each) for each in (said, complained))
    if exit_code is None:
        raise subprocess.TimeoutExpired([*argv], timeout_s, output, complaint)
    return subprocess.CompletedProcess([*argv], exit_code, output, complaint)


def stand_in(place: str, pid: int, arguments: Sequence[str]) -> list[str]:
    """A command line, for what is to run beside its caller."""
    return [sys.executable, "-I", "-S", request.__file__, place, str(pid), *arguments]


def _place(folder: str | Path, words: Sequence[str]) -> Path:
    return Path(folder) / hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _file(text: str = "") -> IO[str]:
    made = tempfile.TemporaryFile("w+", errors="backslashreplace")  # noqa: SIM115 - whoever asked for it closes it
    made.write(text)
    made.seek(0)
    return made


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
