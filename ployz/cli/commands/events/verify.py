"""`ployzctl events verify`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ployz.actors.messages.events import Verified
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines, Table
from ployz.cli.call import Call
from ployz.cli.event_source import source
from ployz.errors import Code, Corrupt, Problem


def add_arguments(parser: Parser) -> None:
    parser.add_log_file()


def run(call: Call) -> int:
    with source(call) as log:
        verified = log.verify()
    folder: Path | None = call.arguments.state_dir
    problem = _problem(verified, "" if folder is None else f" FILE --state-dir {folder}")
    call.out.show("events.verified", verified, render, problem=problem)
    return Corrupt.exit_code if problem else 0


def render(verified: Verified) -> Iterator[Block]:
    if not verified.findings:
        yield Lines.of([f"{verified.head} events, none is missing, changed or out of place"])
    yield Table(
        columns=("EVENT", "WHAT IS WRONG"),
        rows=tuple((str(each.seq), each.text) for each in verified.findings),
        right=frozenset({"EVENT"}),
    )


def _problem(verified: Verified, where: str) -> Problem | None:
    number = len({each.seq for each in verified.findings})
    if not number:
        return None
    wrong = "one of its events is wrong" if number == 1 else f"{number} of its events are wrong"
    advice = f"`ployzctl events export{where}` saves what is there."
    return Problem(Code.LOG_CORRUPT, f"the log is not what was written: {wrong}", advice)
