"""`ployzctl machine standby MACHINE`."""

from __future__ import annotations

from ployz.cli.call import Call
from ployz.cli.lifecycle import add_machine_argument, change
from ployz.events.types import Lifecycle

add_arguments = add_machine_argument


def run(call: Call) -> None:
    change(call, Lifecycle.STANDBY)
