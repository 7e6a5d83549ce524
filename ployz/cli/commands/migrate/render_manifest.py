"""`ployzctl migrate render-manifest NAMESPACE/SERVICE --to MACHINE`."""

from __future__ import annotations

from ployz.actors.messages.operations import RenderMigration
from ployz.cli.call import PLAN_S, Call
from ployz.cli.moving import add_move_arguments, move

add_arguments = add_move_arguments


def run(call: Call) -> None:
    message = move(RenderMigration, call.arguments)
    rendered = call.node.ask("operations", message, timeout_s=PLAN_S)
    call.out.document("migrate.manifest", rendered, rendered.toml)
