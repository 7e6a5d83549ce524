"""`ployzctl service ls`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ployz.actors.messages.services import ListServices, ServiceList, SlotRow
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
        columns=("SERVICE", "SLOT", "MACHINE", "STATE", "IPV4", "IPV6", "IMAGE"),
        rows=tuple((str(r.service), r.slot, r.machine, r.state, r.ipv4, r.ipv6, r.image) for r in rows),
        empty="no service is deployed",
    )
