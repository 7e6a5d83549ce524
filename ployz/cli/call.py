"""What a command is given: its arguments, the node, the output, the input. It takes nothing from anywhere else."""

from __future__ import annotations

import argparse
from io import TextIOWrapper
from pathlib import Path
from typing import Final, TextIO, TypeVar

from attrs import frozen

from ployz.cli.output import Output
from ployz.errors import Code, PloyzError, Refused, Usage
from ployz.surroundings import SLOWNESS
from ployz.wire.message import Message

R = TypeVar("R")

ANSWER_S: Final = 15.0 * SLOWNESS
"""For what the node reads, or asks every machine at once."""
PLAN_S: Final = 60.0 * SLOWNESS
"""For what is planned: every participant is probed."""
WORK_S: Final = 300.0 * SLOWNESS
"""For what is done before the answer: data destroyed, a log walked or copied."""
MANIFEST_BYTES_MAX: Final = 4 << 20
"""Read at most. The node's own limit is lower, and its refusal says so."""


class Interrupted(PloyzError):
    """Ctrl-C."""

    exit_code = 130  # 128 and SIGINT, as a shell counts


@frozen
class Node:
    """The node of this machine, or whoever listens on the socket."""

    socket: Path

    def ask(self, to: str, message: Message[R], *, timeout_s: float) -> R:
        """As `ployz.wire.local.ask`, which it is: one connection an ask."""
        from ployz.wire import local

        return local.ask(self.socket, to, message, timeout_s=timeout_s)


@frozen
class Call:
    arguments: argparse.Namespace
    node: Node
    out: Output
    stdin: TextIO

    def read(self, name: str) -> str:
        """A file's text; `-` is the standard input. `Refused` (USAGE): it cannot be read."""
        what = "the standard input" if name == "-" else name
        try:
            if name == "-":
                return self.stdin.read(MANIFEST_BYTES_MAX)
            with Path(name).open(encoding="utf-8") as file:
                return file.read(MANIFEST_BYTES_MAX)
        except UnicodeDecodeError:
            raise Refused(Code.USAGE, f"{what} is no UTF-8 text") from None
        except OSError as error:
            raise Refused(Code.USAGE, f"{what}: {error.strerror}") from None

    def read_bytes(self, limit: int) -> bytes:
        """Of the standard input, as they are."""
        if isinstance(self.stdin, TextIOWrapper):
            data: bytes = self.stdin.buffer.read(limit)
            return data
        return self.stdin.read(limit).encode()

    def confirm(self, question: str, *, expected: str) -> None:
        """Goes on only if the operator types `expected`. `--yes` answers for them. `Refused` (DECLINED)."""
        if self.arguments.yes:
            return
        if not self.stdin.isatty():
            raise Usage(Code.USAGE, "this asks before it goes on, and nobody is there to answer", "Add --yes.")
        self.out.prompt(f"{question}\nType {expected} to go on: ")
        if self.stdin.readline().strip() != expected:
            raise Refused(Code.DECLINED, "nothing was changed")
