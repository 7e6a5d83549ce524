"""`ployzctl volume drop-copy NAMESPACE/VOLUME --on MACHINE`."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ployz.actors.messages.services import DropCopy
from ployz.cli import human
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import WORK_S, Call
from ployz.ids import MachineId, VolumeRef


@frozen
class Dropped:
    volume: VolumeRef
    machine: MachineId
    freed_bytes: int


def add_arguments(parser: Parser) -> None:
    parser.add_argument("volume", type=named(VolumeRef.parse), metavar="NAMESPACE/VOLUME")
    parser.add_argument(
        "--on",
        type=named(MachineId),
        metavar="MACHINE",
        required=True,
        help="which has an older copy, and not the volume",
    )
    parser.add_yes()


def run(call: Call) -> None:
    volume: VolumeRef = call.arguments.volume
    machine: MachineId = call.arguments.on
    question = f"The copy of {volume} on {machine} is destroyed; the next move there sends all of it."
    call.confirm(question, expected=str(volume))
    found = call.node.ask("services", DropCopy(volume, machine), timeout_s=WORK_S)
    call.out.show("volume.copy_dropped", Dropped(volume, found.machine, found.freed_bytes), render)


def render(dropped: Dropped) -> Iterator[Block]:
    freed = human.size(dropped.freed_bytes)
    yield Lines.of([f"the copy of {dropped.volume} on {dropped.machine} is destroyed: {freed} are free there"])
