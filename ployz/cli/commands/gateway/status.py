"""`ployzctl gateway status [MACHINE]`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.gateway import BackendRow, GatewayList, GatewayRow, ShowGateways
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Fields, Heading, Lines, Table
from ployz.cli.call import ANSWER_S, Call
from ployz.ids import MachineId


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "machine", type=named(MachineId), nargs="?", metavar="MACHINE", help="this one alone; every gateway if left out"
    )


def run(call: Call) -> None:
    status = call.node.ask("gateway", ShowGateways(call.arguments.machine), timeout_s=ANSWER_S)
    call.out.show("gateway.status", status, render)


def render(status: GatewayList) -> Iterator[Block]:
    if not status.gateways:
        yield Lines.of(["no machine is a gateway: `ployzctl machine set MACHINE gateway=on` makes one"])
    for row in status.gateways:
        yield Heading(f"Gateway {row.machine}")
        yield Fields(
            (
                ("state", _state(row)),
                ("facts", _facts(row, status.position)),
                *(("problem", each) for each in row.problems),
            ),
            indent=2,
        )
        if row.answers and row.runs:
            yield Table(
                columns=("BACKEND", "STATE", "SESSIONS", "HELD", "HELD EVER", "REFUSED", "ERRORS"),
                spare=("HELD EVER", "ERRORS"),
                rows=tuple(_backend(each) for each in row.backends),
                right=frozenset({"SESSIONS", "HELD", "HELD EVER", "REFUSED", "ERRORS"}),
                empty="it serves no route",
                indent=2,
            )


def _state(row: GatewayRow) -> str:
    if not row.answers:
        return "its ployzd does not answer; what it served last, it serves on"
    return "serving" if row.runs else "HAProxy does not run"


def _facts(row: GatewayRow, newest: int) -> str:
    if not row.answers:
        return ""
    behind = newest - row.position
    return f"{row.position}, {behind} behind" if behind > 0 else str(row.position)


def _backend(row: BackendRow) -> tuple[str, ...]:
    counts = (row.sessions, row.held, row.held_ever, row.refused, row.errors)
    return (row.backend, row.state, *map(str, counts))
