"""`ployzctl operation resume ID`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.operations import Resumed, ResumeOperation
from ployz.cli import watching
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import WORK_S, Call


def add_arguments(parser: Parser) -> None:
    parser.add_operation()


def run(call: Call) -> int:
    resumed = call.node.ask("operations", ResumeOperation(call.arguments.operation), timeout_s=WORK_S)
    call.out.show("operation.resumed", resumed, render)
    return 0 if resumed.again is None else watching.watch(call, resumed.again)


def render(resumed: Resumed) -> Iterator[Block]:
    row = resumed.row
    if resumed.again is None:
        yield Lines.of([f"{row.operation_id} is committed, and nothing of it is left to do"])
    else:
        yield Lines.of(
            [
                f"{row.operation_id} is aborted, and undone: {row.reason}",
                f"The same begins again as {resumed.again}, on {resumed.again_on}",
            ]
        )
