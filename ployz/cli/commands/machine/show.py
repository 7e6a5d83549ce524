"""`ployzctl machine show MACHINE`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ployz.actors.messages.machine import MachineDetail, ShowMachine
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Fields, Heading, Lines
from ployz.cli.call import ANSWER_S, Call
from ployz.cli.commands.machine.ls import seen
from ployz.ids import MachineId, OperationId, SlotRef, VolumeRef


def add_arguments(parser: Parser) -> None:
    parser.add_argument("machine", type=named(MachineId), metavar="MACHINE")


def run(call: Call) -> None:
    detail = call.node.ask("machine", ShowMachine(call.arguments.machine), timeout_s=ANSWER_S)
    call.out.show("machine.detail", detail, render)


def render(detail: MachineDetail) -> Iterator[Block]:
    row = detail.row
    yield Fields(
        (
            ("machine", f"{row.machine}{' (founder)' if row.founder else ''}"),
            ("state", row.lifecycle),
            ("last seen", f"now, {row.version}, at fact {row.position}" if row.reachable else seen(row)),
            ("endpoint", row.endpoint),
            *((("heard at", row.heard_at),) if row.heard_at else ()),
            ("overlay", f"{row.ipv4}, {row.ipv6}"),
        )
    )
    yield Heading("Settings")
    yield Fields(tuple((each.key, each.value) for each in row.settings), indent=2)
    yield Heading("Has")
    yield Lines.of(held(detail.volumes, detail.slots, detail.operations) or ["nothing"], indent=2)


def held(volumes: Iterable[VolumeRef], slots: Iterable[SlotRef], operations: Iterable[OperationId]) -> list[str]:
    """What keeps a machine from being let go, a line each."""
    return [
        *(f"volume     {volume}" for volume in volumes),
        *(f"service    {slot}" for slot in slots),
        *(f"operation  {operation}, undecided" for operation in operations),
    ]
