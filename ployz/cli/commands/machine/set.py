"""`ployzctl machine set MACHINE KEY=VALUE…`."""

from __future__ import annotations

from ployz.actors.messages.machine import SetMachine
from ployz.cli.arguments import Parser, named
from ployz.cli.call import ANSWER_S, Call
from ployz.cli.commands.machine.show import render
from ployz.errors import Refused, Usage
from ployz.ids import MachineId
from ployz.projections.settings import KINDS, parse_settings


def add_arguments(parser: Parser) -> None:
    parser.add_argument("machine", type=named(MachineId), metavar="MACHINE")
    parser.add_argument(
        "settings", nargs="+", metavar="KEY=VALUE", help="; ".join(f"{key}: {takes}" for key, takes in KINDS.items())
    )


def run(call: Call) -> None:
    settings = tuple(call.arguments.settings)
    try:
        parse_settings(settings)
    except Refused as error:
        raise Usage(error.code, error.problem.text, error.problem.advice) from None
    detail = call.node.ask("machine", SetMachine(call.arguments.machine, settings), timeout_s=ANSWER_S)
    call.out.show("machine.detail", detail, render)
