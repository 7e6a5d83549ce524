"""`ployzctl deploy watch ID`."""

from __future__ import annotations

from ployz.cli import watching
from ployz.cli.arguments import Parser, named
from ployz.cli.call import Call
from ployz.ids import OperationId


def add_arguments(parser: Parser) -> None:
    parser.add_argument("operation", type=named(OperationId), metavar="ID", help="the operation's id: op-…")


def run(call: Call) -> int:
    return watching.watch(call, call.arguments.operation)
