"""`ployzctl cluster backup FILE`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ployz.actors.messages.authority import BackedUp, BackUpFacts
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import WORK_S, Call


def add_arguments(parser: Parser) -> None:
    parser.add_argument("path", type=Path, metavar="FILE", help="the copy; it must not be there yet")


def run(call: Call) -> None:
    # The node writes it, and has a working folder of its own.
    path: Path = call.arguments.path.absolute()
    call.out.show("cluster.backed_up", call.node.ask("authority", BackUpFacts(str(path)), timeout_s=WORK_S), render)


def render(made: BackedUp) -> Iterator[Block]:
    yield Lines.of([f"all facts up to {made.position} are in {made.path}"])
