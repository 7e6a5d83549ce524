"""`ployzctl operation ls`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.operations import ListOperations, OperationList, OperationRow
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Table
from ployz.cli.call import ANSWER_S, Call


def add_arguments(parser: Parser) -> None:
    parser.add_limit()


def run(call: Call) -> None:
    listed = call.node.ask("operations", ListOperations(call.arguments.limit), timeout_s=ANSWER_S)
    call.out.show("operation.overview", listed, render)


def render(listed: OperationList) -> Iterator[Block]:
    yield Table(
        columns=("OPERATION", "KIND", "NAMESPACE", "STATUS", "PHASE", "COORDINATOR", "STARTED", "DECIDED", "REASON"),
        spare=("DECIDED", "KIND", "COORDINATOR", "PHASE", "STARTED"),
        rows=tuple(_row(row) for row in listed.operations),
        empty="there was no operation yet",
    )


def _row(row: OperationRow) -> tuple[str, ...]:
    deploy = row.deploy
    return (
        deploy.operation_id,
        deploy.kind,
        deploy.namespace,
        deploy.status,
        row.phase or human.NOTHING,
        deploy.coordinator,
        human.when(deploy.started_ms),
        human.when(deploy.decided_ms),
        deploy.reason,
    )
