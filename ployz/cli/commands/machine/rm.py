"""`ployzctl machine rm MACHINE`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.membership import LostVolume, PreviewRemoval, Removal, Removed, RemoveMachine
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import PLAN_S, Call
from ployz.cli.lifecycle import add_machine_argument
from ployz.ids import MachineId


def add_arguments(parser: Parser) -> None:
    add_machine_argument(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="your word that it is gone, and stays off: take it out with all that it has",
    )
    parser.add_yes()


def run(call: Call) -> None:
    machine: MachineId = call.arguments.machine
    force: bool = call.arguments.force
    removal = call.node.ask("membership", PreviewRemoval(machine, force), timeout_s=PLAN_S)
    if force:
        call.confirm("\n".join(_lost(removal)), expected=machine)
    removed = call.node.ask("membership", RemoveMachine(machine, force), timeout_s=PLAN_S)
    call.out.show("machine.removed", removed, render)


def render(removed: Removed) -> Iterator[Block]:
    removal = removed.removal
    yield Lines.of([f"{removal.machine} is removed, by fact {removed.position}"])
    if removal.volumes or removal.slots or not removal.answers:
        yield Lines.of(_lost(removal))
    if removed.lagging:
        yield Lines.of(
            [f"{human.listed(removed.lagging)} did not follow yet, and will: until then they still hear it."]
        )


def _lost(removal: Removal) -> Iterator[str]:
    """What an operator answers for."""
    for each in removal.volumes:
        yield from _volume(removal, each)
    for slot in removal.slots:
        yield f"{slot} ran on {removal.machine}. Without a volume, it starts elsewhere with the next deploy."
    for operation in removal.operations:
        yield f"{operation} goes on, and cannot be committed with {removal.machine}."
    if not removal.answers:
        yield (
            f"{removal.machine} does not answer, so it cannot hear that it is removed. Keep it off, or erase it: "
            "started again, it would run what it had."
        )


def _volume(removal: Removal, lost: LostVolume) -> Iterator[str]:
    if not lost.copies:
        yield f"{lost.volume} is on {removal.machine} and nowhere else: it is lost with it."
        return
    for copy in lost.copies:
        age = human.duration(max(removal.now_ms - copy.taken_ms, 0))
        yield (
            f"{lost.volume} goes on only from an older copy: {copy.machine} has one of {age} ago. "
            f"`ployzctl volume takeover {lost.volume} --to {copy.machine} --source-is-off`"
        )
