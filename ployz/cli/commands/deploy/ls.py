"""`ployzctl deploy ls`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.operations import DeployList, DeployRow, ListDeploys
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Table
from ployz.cli.call import ANSWER_S, Call


def add_arguments(parser: Parser) -> None:
    parser.add_limit()


def run(call: Call) -> None:
    listed = call.node.ask("operations", ListDeploys(call.arguments.limit), timeout_s=ANSWER_S)
    call.out.show("operation.list", listed, render)


def render(listed: DeployList) -> Iterator[Block]:
    yield Table(
        columns=("OPERATION", "KIND", "NAMESPACE", "STATUS", "STARTED", "DECIDED", "FACT", "COORDINATOR", "REASON"),
        spare=("DECIDED", "FACT", "KIND", "COORDINATOR", "STARTED"),
        rows=tuple(_row(row) for row in listed.deploys),
        right=frozenset({"FACT"}),
        empty="nothing was deployed yet",
    )


def _row(row: DeployRow) -> tuple[str, ...]:
    return (
        row.operation_id,
        row.kind,
        row.namespace,
        row.status,
        human.when(row.started_ms),
        human.when(row.decided_ms),
        str(row.position) if row.position else human.NOTHING,
        row.coordinator,
        row.reason,
    )
