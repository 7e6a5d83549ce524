"""`ployzctl volume takeover NAMESPACE/VOLUME --to MACHINE --source-is-off`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.takeover import PreviewTakeover, TakenOver, TakenVolume, TakeoverPlan, TakeOverVolume
from ployz.cli import human
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import PLAN_S, WORK_S, Call
from ployz.ids import MachineId, VolumeRef


def add_arguments(parser: Parser) -> None:
    parser.add_argument("volume", type=named(VolumeRef.parse), metavar="NAMESPACE/VOLUME")
    parser.add_argument(
        "--to", type=named(MachineId), required=True, dest="to_machine", metavar="MACHINE", help="who gets it"
    )
    parser.add_argument(
        "--source-is-off",
        action="store_true",
        required=True,
        help="your word: its machine is off, and stays off until it can reach the cluster again",
    )
    parser.add_yes()


def run(call: Call) -> None:
    volume: VolumeRef = call.arguments.volume
    to_machine: MachineId = call.arguments.to_machine
    plan = call.node.ask("takeover", PreviewTakeover(volume, to_machine), timeout_s=PLAN_S)
    call.confirm("\n".join(_lines(plan)), expected=str(volume))
    snapshots = tuple(each.snapshot for each in plan.volumes)
    taken = call.node.ask("takeover", TakeOverVolume(volume, to_machine, snapshots), timeout_s=WORK_S)
    call.out.show("volume.taken_over", taken, render)


def render(taken: TakenOver) -> Iterator[Block]:
    yield Lines.of([f"taken over, by fact {taken.position}", *_lines(taken.plan)])


def _lines(plan: TakeoverPlan) -> Iterator[str]:
    for each in plan.volumes:
        yield from _volume_lines(plan, each)
    if plan.slots:
        yield f"{plan.to_machine} runs {human.listed(plan.slots)}, at the addresses that they have."
    yield (
        f"{plan.from_machine} must be off. When it is back, it runs none of this, and keeps what it has of it aside "
        "for you to look at."
    )


def _volume_lines(plan: TakeoverPlan, each: TakenVolume) -> Iterator[str]:
    age = human.duration(max(plan.now_ms - each.taken_ms, 0))
    yield (
        f"{each.volume} goes from {plan.from_machine} to {plan.to_machine}, at epoch {each.epoch}, as it was in "
        f"{each.snapshot.snapshot}, taken {human.when(each.taken_ms)}, {age} ago."
    )
    yield f"Everything that was written to {each.volume} after that is lost to it."
    if each.newer:
        yield f"A newer snapshot of {each.volume} is on {human.listed(each.newer)}: consider taking that one."
