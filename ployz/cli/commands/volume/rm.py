"""`ployzctl volume rm NAMESPACE/VOLUME`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ployz.actors.messages.services import RemoveVolume
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import WORK_S, Call
from ployz.ids import VolumeRef


def add_arguments(parser: Parser) -> None:
    parser.add_argument("volume", type=named(VolumeRef.parse), metavar="NAMESPACE/VOLUME")
    parser.add_yes()


def run(call: Call) -> None:
    volume: VolumeRef = call.arguments.volume
    call.confirm(f"{volume} and every copy of it are destroyed, on all machines, for good.", expected=str(volume))
    call.node.ask("services", RemoveVolume(volume), timeout_s=WORK_S)
    call.out.show("volume.removed", {"volume": str(volume)}, render)


def render(removed: Mapping[str, str]) -> Iterator[Block]:
    yield Lines.of([f"{removed['volume']} is destroyed"])
