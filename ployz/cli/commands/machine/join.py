"""`ployzctl machine join`: on a machine that was admitted, before its node starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import Call
from ployz.cli.documents import read_document
from ployz.cli.setup import add_config_argument, next_steps


def add_arguments(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="what `machine admit` printed; - is the standard input")
    add_config_argument(parser)


def run(call: Call) -> None:
    from ployz.actors.messages.machine import JoinDocument
    from ployz.config import Join
    from ployz.install.settling import join

    document = read_document(call.read(call.arguments.file), JoinDocument, what="join document")
    joined = join(
        call.arguments.config,
        document.machine,
        document.cluster,
        Join(
            ipv6_prefix=document.ipv6_prefix,
            machine_ipv4_subnet=document.machine_ipv4_subnet,
            workload_ipv4_subnet=document.workload_ipv4_subnet,
            ipv6=document.ipv6,
            ipv4=document.ipv4,
            founder=document.founder,
            founder_ipv6=document.founder_ipv6,
            founder_ipv4=document.founder_ipv4,
            founder_endpoint=document.founder_endpoint,
            founder_public_key=document.founder_public_key,
            founder_certificate=document.founder_certificate,
        ),
    )
    shown = {"cluster": joined.cluster, "machine": joined.machine, "config": str(call.arguments.config)}
    call.out.show("machine.joined", shown, render)
    next_steps(call)


def render(joined: Mapping[str, object]) -> Iterator[Block]:
    yield Lines.of([f"{joined['machine']} is a member of {joined['cluster']}, by {joined['config']}"])
