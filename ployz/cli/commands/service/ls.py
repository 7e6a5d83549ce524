"""`ployzctl service ls`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ployz.actors.messages.services import ListServices, ServiceList, SlotRow
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Table
from ployz.cli.call import ANSWER_S, Call


def add_arguments(parser: Parser) -> None:
    pass


def run(call: Call) -> None:
    call.out.show("service.list", call.node.ask("services", ListServices(), timeout_s=ANSWER_S), render)


def render(listed: ServiceList) -> Iterator[Block]:
    yield slots(listed.slots)


def slots(rows: Sequence[SlotRow]) -> Table:
    return Table(
        columns=("SERVICE", "SLOT", "MACHINE", "STATE", "SINCE", "RESTARTS", "IPV4", "IPV6", "IMAGE"),
        spare=("IPV6", "IMAGE", "SINCE", "RESTARTS"),
        rows=tuple(
            (
                str(row.service),
                row.slot,
                row.machine,
                row.state,
                human.when(row.since_ms),
                str(row.restarts),
                row.ipv4,
                row.ipv6,
                row.image,
            )
            for row in rows
        ),
        right=frozenset({"RESTARTS"}),
        empty="no service is deployed",
    )
