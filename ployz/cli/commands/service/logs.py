"""`ployzctl service logs NAMESPACE/SERVICE`."""

from __future__ import annotations

from ployz.actors.messages.services import ReadServiceLogs
from ployz.cli.arguments import Parser, count, named
from ployz.cli.call import ANSWER_S, Call
from ployz.ids import ServiceRef, SlotName


def add_arguments(parser: Parser) -> None:
    parser.add_argument("service", type=named(ServiceRef.parse), metavar="NAMESPACE/SERVICE")
    parser.add_argument("--slot", type=named(SlotName), metavar="SLOT", help="of this slot alone")
    parser.add_argument("--tail", type=count, default=100, metavar="N", help="the last lines (default: %(default)s)")
    parser.add_argument("--raw", action="store_true", help="as it was written, with what a terminal would obey")


def run(call: Call) -> None:
    message = ReadServiceLogs(call.arguments.service, call.arguments.slot, call.arguments.tail)
    read = call.node.ask("services", message, timeout_s=ANSWER_S)
    call.out.document("service.logs", read, read.text, raw=call.arguments.raw)
