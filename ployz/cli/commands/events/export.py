"""`ployzctl events export FILE`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ployz.actors.messages.events import Exported
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import Call
from ployz.cli.event_source import source


def add_arguments(parser: Parser) -> None:
    parser.add_argument("path", type=Path, metavar="FILE", help="the copy; it must not be there yet")
    parser.add_log_file()


def run(call: Call) -> None:
    # The node writes it, and has a working folder of its own.
    path: Path = call.arguments.path.absolute()
    with source(call) as log:
        exported = log.export(path)
    call.out.show("events.exported", exported, render)


def render(exported: Exported) -> Iterator[Block]:
    yield Lines.of([f"{exported.events} events are in {exported.path}"])
