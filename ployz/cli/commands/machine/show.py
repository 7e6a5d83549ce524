"""`ployzctl machine show MACHINE`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.machine import MachineRow, ShowMachine
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Fields, Heading
from ployz.cli.call import ANSWER_S, Call
from ployz.ids import MachineId


def add_arguments(parser: Parser) -> None:
    parser.add_argument("machine", type=named(MachineId), metavar="MACHINE")


def run(call: Call) -> None:
    row = call.node.ask("machine", ShowMachine(call.arguments.machine), timeout_s=ANSWER_S)
    call.out.show("machine.detail", row, render)


def render(row: MachineRow) -> Iterator[Block]:
    yield Fields(
        (
            ("machine", f"{row.machine}{' (founder)' if row.founder else ''}"),
            ("lifecycle", row.lifecycle),
            ("answers", f"yes, {row.version}, at fact {row.position}" if row.reachable else "no"),
            ("endpoint", row.endpoint),
            ("overlay", f"{row.ipv4}, {row.ipv6}"),
            ("slots", str(row.slots)),
            ("volumes", str(row.volumes)),
        )
    )
    yield Heading("Settings")
    yield Fields(tuple((each.key, each.value) for each in row.settings), indent=2)
