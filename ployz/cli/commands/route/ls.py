"""`ployzctl route ls`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.gateway import ListRoutes, RouteList, RouteRow
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Fields, Table
from ployz.cli.call import ANSWER_S, Call


def add_arguments(parser: Parser) -> None:
    pass


def run(call: Call) -> None:
    call.out.show("route.list", call.node.ask("gateway", ListRoutes(), timeout_s=ANSWER_S), render)


def render(listed: RouteList) -> Iterator[Block]:
    yield Fields((("gateways", human.listed(listed.gateways)), ("facts", str(listed.position))))
    yield Table(
        columns=("ROUTE", "SERVICE", "PORT", "MACHINES"),
        rows=tuple(_row(each) for each in listed.routes),
        right=frozenset({"PORT"}),
        empty="no service has a route",
    )


def _row(row: RouteRow) -> tuple[str, ...]:
    return (row.route, str(row.service), str(row.container_port), human.listed(row.machines))
