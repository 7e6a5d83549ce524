"""`ployzctl deploy watch ID`."""

from __future__ import annotations

from ployz.cli import watching
from ployz.cli.arguments import Parser
from ployz.cli.call import Call


def add_arguments(parser: Parser) -> None:
    parser.add_operation()


def run(call: Call) -> int:
    return watching.watch(call, call.arguments.operation)
