"""`ployzctl machine init`: on a newcomer, before there is a node."""

from __future__ import annotations

from ployz.cli.arguments import Parser, named
from ployz.cli.call import Call
from ployz.cli.documents import text_of
from ployz.cli.setup import add_setup_arguments, next_steps, setup_of
from ployz.ids import MachineId


def add_arguments(parser: Parser) -> None:
    parser.add_argument("machine", type=named(MachineId), metavar="MACHINE", help="the name of this machine")
    add_setup_arguments(parser)


def run(call: Call) -> None:
    from ployz.install.requirements import require
    from ployz.install.settling import prepare_to_join

    setup = setup_of(call.arguments)
    require(setup)
    request = prepare_to_join(setup, call.arguments.config)
    call.out.document("machine.admission_request", request, text_of(request))
    call.out.note("Give this to `ployzctl machine admit` on a member, and what that prints to `machine join` here.")
    next_steps(call, started_by="machine join")
