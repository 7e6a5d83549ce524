"""The only file that prints: answers on the standard output, errors and questions on the standard error. What it prints
may quote anybody, so a terminal is given nothing that it would obey.

A terminal gets rich's tables, everything else plain text that does not change with the window.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TextIO, TypeVar

from ployz.cli.blocks import Block, harmless
from ployz.errors import PloyzError, Problem
from ployz.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from ployz.cli.live import StatusArea

V = TypeVar("V")


class Output:
    """`payload` is an attrs value or a mapping; `kind` names its shape for scripts."""

    def __init__(self, stdout: TextIO, stderr: TextIO, *, as_json: bool) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._as_json = as_json
        self._console: Console | None = None
        self._below_items = False

    @property
    def as_json(self) -> bool:
        return self._as_json

    @property
    def on_terminal(self) -> bool:
        """Somebody looks at it: bars may move."""
        return not self._as_json and self._stdout.isatty() and os.environ.get("TERM") != "dumb"

    # ------------------------------------------------------------ answers

    def show(
        self, kind: str, payload: V, render: Callable[[V], Iterable[Block]], *, problem: Problem | None = None
    ) -> None:
        """The answer of a command. With a problem it is an answer all the same, and not a good one."""
        if self._below_items and not self._as_json:
            self._write("\n")
        if self._as_json:
            self._json(kind, payload, problem)
        elif self.on_terminal:
            self._styled(map(harmless, render(payload)))
        else:
            from ployz.cli.plain import plain

            self._write(plain(map(harmless, render(payload))))
        if problem is not None:
            self._complain(problem)

    def item(self, kind: str, payload: object, line: str) -> None:
        """One of a stream of answers. What is shown after them stands apart."""
        self._below_items = True
        line = printable(line)
        if self._as_json:
            self._json(kind, payload)
        elif self.on_terminal:
            self._rich().print(line, soft_wrap=True)  # above what moves
        else:
            self._write(f"{line}\n")

    def document(self, kind: str, payload: object, text: str, *, raw: bool = False) -> None:
        """A text that is made for a file or a pipe, letter by letter. `raw`: whatever a terminal makes of it."""
        text = text if raw else printable(text)
        if self._as_json:
            self._json(kind, payload)
        else:
            self._write(text if text.endswith("\n") or not text else f"{text}\n")

    # ------------------------------------------------------------ beside the answer

    def fail(self, error: PloyzError) -> None:
        """A command's last word, when it ended with an error."""
        problem = error.problem
        if self._as_json:
            self._json("error", {"advice": problem.advice, "exit_code": error.exit_code}, problem)
        self._complain(problem)

    def note(self, text: str) -> None:
        """To a person, beside the answer: what to do next."""
        if not self._as_json:
            self._say(f"{text}\n")

    def prompt(self, question: str) -> None:
        self._say(question)

    def trace(self, error: BaseException) -> None:
        import traceback

        self._say("".join(traceback.format_exception(error)))

    # ------------------------------------------------------------ what moves

    def status(self) -> AbstractContextManager[StatusArea | None]:
        """Lines at the bottom of a terminal that are written over; None where there is none."""
        if not self.on_terminal:
            return nullcontext()
        from ployz.cli.live import StatusArea

        return StatusArea(self._rich())

    # ------------------------------------------------------------ how

    def _json(self, kind: str, payload: object, problem: Problem | None = None) -> None:
        from ployz.cli.json_form import envelope

        self._write(f"{envelope(kind, payload, problem)}\n")

    def _styled(self, blocks: Iterable[Block]) -> None:
        from ployz.cli.styled import styled

        console = self._rich()
        for renderable in styled(blocks, console.width):
            console.print(renderable, soft_wrap=False, crop=False)

    def _rich(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self._stdout, highlight=False, markup=False, emoji=False)
        return self._console

    def _complain(self, problem: Problem) -> None:
        self._say(f"error {problem}\n")
        if problem.advice:
            self._say(f"{problem.advice}\n")

    def _write(self, text: str) -> None:
        self._stdout.write(text)
        self._stdout.flush()

    def _say(self, text: str) -> None:
        self._stdout.flush()
        self._stderr.write(printable(text))
        self._stderr.flush()
