"""`ployzctl operation abort ID`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.operations import AbortedNow, AbortOperation
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import PLAN_S, Call


def add_arguments(parser: Parser) -> None:
    parser.add_operation()


def run(call: Call) -> None:
    aborted = call.node.ask("operations", AbortOperation(call.arguments.operation), timeout_s=PLAN_S)
    call.out.show("operation.aborted", aborted, render)


def render(aborted: AbortedNow) -> Iterator[Block]:
    row = aborted.row
    yield Lines.of(
        [
            f"{row.operation_id} is aborted, by fact {row.position}: {row.reason}",
            "What it did is being undone, and what it stopped starts again where it was.",
            f"ployzctl operation watch {row.operation_id}   shows it to its end, while {row.coordinator} runs",
        ]
    )
