"""`ployzctl service show NAMESPACE/SERVICE`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.services import ServiceDetail, ShowService
from ployz.cli import human
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Fields, Heading, Lines
from ployz.cli.call import ANSWER_S, Call
from ployz.cli.commands.service.ls import slots
from ployz.ids import ServiceRef


def add_arguments(parser: Parser) -> None:
    parser.add_argument("service", type=named(ServiceRef.parse), metavar="NAMESPACE/SERVICE")


def run(call: Call) -> None:
    detail = call.node.ask("services", ShowService(call.arguments.service), timeout_s=ANSWER_S)
    call.out.show("service.detail", detail, render)


def render(detail: ServiceDetail) -> Iterator[Block]:
    yield Fields((("service", str(detail.service)), ("volumes", human.listed(detail.volumes))))
    yield slots(detail.slots)
    if said := [f"{row.slot}: {row.why}" for row in detail.slots if row.why]:
        yield Heading("What its slots say")
        yield Lines.of(said, indent=2)
    yield Heading("In the manifest")
    yield Lines.of(detail.toml.splitlines(), indent=2)
