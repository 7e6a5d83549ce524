"""`ployzctl service rm NAMESPACE/SERVICE`."""

from __future__ import annotations

from ployz.actors.messages.operations import RemoveService
from ployz.cli import watching
from ployz.cli.arguments import Parser, named
from ployz.cli.call import Call
from ployz.ids import ServiceRef


def add_arguments(parser: Parser) -> None:
    parser.add_argument("service", type=named(ServiceRef.parse), metavar="NAMESPACE/SERVICE")
    parser.add_yes()
    parser.add_message()


def run(call: Call) -> int:
    service: ServiceRef = call.arguments.service
    call.confirm(f"{service} is stopped and removed. Its volumes stay.", expected="yes")
    return watching.apply(call, RemoveService(service, call.arguments.message))
