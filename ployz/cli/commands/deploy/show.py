"""`ployzctl deploy show ID`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.operations import DeployDetail, ShowDeploy
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Fields, Heading
from ployz.cli.call import ANSWER_S, Call
from ployz.cli.views.result import last_round, measured, parts, rounds


def add_arguments(parser: Parser) -> None:
    parser.add_operation()


def run(call: Call) -> None:
    detail = call.node.ask("operations", ShowDeploy(call.arguments.operation), timeout_s=ANSWER_S)
    call.out.show("operation.detail", detail, render)


def render(detail: DeployDetail) -> Iterator[Block]:
    row = detail.row
    yield Heading(f"{row.kind} {row.operation_id}")
    yield Fields(
        (
            ("namespace", row.namespace),
            ("status", row.status),
            ("now", detail.now),
            ("reason", row.reason),
            ("started", human.when(row.started_ms)),
            ("decided", f"{human.when(row.decided_ms)}, by fact {row.position}" if row.position else ""),
            ("coordinator", row.coordinator),
            ("participants", ", ".join(detail.participants)),
            *_cutover(detail),
        ),
        indent=2,
    )
    yield from rounds(detail.evidence)


def _cutover(detail: DeployDetail) -> Iterator[tuple[str, str]]:
    found = detail.cutover
    if found is None:
        yield "cut-over", human.duration(detail.cutover_ms) if detail.cutover_ms else ""
        return
    yield "cut-over", measured(detail.cutover_ms, found.predicted_ms)
    yield "of which", parts(found.parts)
    yield "last round", last_round(found.last_bytes, found.predicted_bytes)
