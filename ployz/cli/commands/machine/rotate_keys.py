"""`ployzctl machine rotate-keys MACHINE`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.rotation import KeysRotated, RotateKeys
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import WORK_S, Call
from ployz.cli.lifecycle import add_machine_argument


def add_arguments(parser: Parser) -> None:
    add_machine_argument(parser)


def run(call: Call) -> None:
    rotated = call.node.ask("rotation", RotateKeys(call.arguments.machine), timeout_s=WORK_S)
    call.out.show("machine.keys_rotated", rotated, render)


def render(rotated: KeysRotated) -> Iterator[Block]:
    lines = [f"{rotated.machine} has the WireGuard key {rotated.public_key} since fact {rotated.position}"]
    if rotated.silent:
        lines.append(f"{human.listed(rotated.silent)} did not answer, and will follow")
    yield Lines.of(lines)
