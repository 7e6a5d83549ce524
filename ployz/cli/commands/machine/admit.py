"""`ployzctl machine admit`: on any member, with the request that `machine init` printed on the newcomer."""

from __future__ import annotations

from ployz.actors.messages.machine import AdmitMachine
from ployz.cli.arguments import Parser
from ployz.cli.call import ANSWER_S, Call
from ployz.cli.documents import read_document, text_of


def add_arguments(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="the request of `machine init`; - is the standard input")


def run(call: Call) -> None:
    request = read_document(call.read(call.arguments.file), AdmitMachine, what="request for admission")
    document = call.node.ask("machine", request, timeout_s=ANSWER_S)
    call.out.document("machine.join_document", document, text_of(document))
    call.out.note(f"{document.machine} is admitted. Give this to `ployzctl machine join` on it.")
