"""`ployzctl migrate preview NAMESPACE/SERVICE --to MACHINE`."""

from __future__ import annotations

from ployz.actors.messages.operations import PreviewMigration
from ployz.cli import previewing
from ployz.cli.call import Call
from ployz.cli.moving import add_move_arguments, move

add_arguments = add_move_arguments


def run(call: Call) -> int:
    return previewing.preview(call, move(PreviewMigration, call.arguments))
