"""`ployzctl migrate apply NAMESPACE/SERVICE --to MACHINE`."""

from __future__ import annotations

from ployz.actors.messages.operations import ApplyMigration
from ployz.cli import watching
from ployz.cli.call import Call
from ployz.cli.moving import add_move_arguments, move

add_arguments = add_move_arguments


def run(call: Call) -> int:
    return watching.apply(call, move(ApplyMigration, call.arguments))
