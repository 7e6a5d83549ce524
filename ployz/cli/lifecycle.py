"""What `machine activate`, `drain` and `standby` have in common: one change, and what the machine has after it."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.membership import ChangeLifecycle, LifecycleChanged
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import PLAN_S, Call
from ployz.cli.commands.machine.show import held
from ployz.events.types import Lifecycle
from ployz.ids import MachineId


def add_machine_argument(parser: Parser) -> None:
    parser.add_argument("machine", type=named(MachineId), metavar="MACHINE")


def change(call: Call, lifecycle: Lifecycle) -> None:
    message = ChangeLifecycle(call.arguments.machine, lifecycle)
    call.out.show("machine.lifecycle", call.node.ask("membership", message, timeout_s=PLAN_S), render)


def render(changed: LifecycleChanged) -> Iterator[Block]:
    how = f"by fact {changed.position}; it was {changed.before}" if changed.position else "as it was already"
    yield Lines.of([f"{changed.machine} is {changed.after}, {how}"])
    if changed.after is not Lifecycle.ACTIVE and (has := held(changed.volumes, changed.slots, changed.operations)):
        yield Lines.of(["It keeps, until it is moved away:"])
        yield Lines.of(has, indent=2)
    if changed.after is Lifecycle.DRAINING and changed.operations:
        yield Lines.of(
            [f"Of what goes on, what would bring something to {changed.machine} is undone when it is to be committed."]
        )
