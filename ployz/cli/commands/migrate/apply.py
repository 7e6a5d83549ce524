"""`ployzctl migrate apply NAMESPACE/SERVICE --to MACHINE`."""

from __future__ import annotations

from attrs import evolve

from ployz.actors.messages.operations import ApplyMigration
from ployz.cli import watching
from ployz.cli.arguments import Parser
from ployz.cli.call import Call
from ployz.cli.moving import add_move_arguments, move


def add_arguments(parser: Parser) -> None:
    add_move_arguments(parser)
    parser.add_message()


def run(call: Call) -> int:
    message = move(ApplyMigration, call.arguments)
    return watching.apply(call, evolve(message, message=call.arguments.message))
