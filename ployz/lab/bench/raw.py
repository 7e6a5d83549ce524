"""`zfs send | socket | zfs receive` between two machines over the overlay: the least that a transfer can take.

Both ends are connected before the clock starts, as the product's are.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from ployz.lab.bench import pipe
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import failed

PORT = 7799
END_S = 10


@frozen
class Sent:
    bytes_count: int
    duration_s: float

    @property
    def mib_per_s(self) -> float:
        return self.bytes_count / self.duration_s / (1 << 20)


@frozen
class RawPipe:
    """Connected, and waiting for its start."""

    receiver: subprocess.Popen[str]
    sender: subprocess.Popen[str]

    def run(self) -> Sent:
        """Returns when the receiving program is done."""
        began_s = time.monotonic()
        if self.sender.stdin is None:
            raise AssertionError("it was opened with a pipe")
        self.sender.stdin.write("go\n")
        self.sender.stdin.flush()
        received = _line(self.receiver)
        return Sent(int(received), time.monotonic() - began_s)


@contextmanager
def raw_pipe(
    source: Namespaces, send: Sequence[str], target: Namespaces, receive: Sequence[str], address: str
) -> Iterator[RawPipe]:
    """From `source` to `target`, which has the overlay's `address`."""
    with (
        _end(target, ["receive", address, str(PORT), *receive]) as receiver,
        _end(source, ["send", address, str(PORT), *send]) as sender,
    ):
        yield RawPipe(receiver, sender)


@contextmanager
def _end(machine: Namespaces, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    argv = machine.enter([sys.executable, "-I", "-S", str(Path(pipe.__file__)), *arguments])
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _line(process)
            yield process
            process.wait(END_S)
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None or process.stderr is None:
        raise AssertionError("they were opened with pipes")
    line = process.stdout.readline()
    if not line:
        raise failed(f"a raw pipe broke: {process.stderr.read().strip()}")
    return line
