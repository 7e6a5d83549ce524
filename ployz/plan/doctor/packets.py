"""Ways on which large packets are lost: which machine is to send and be sent smaller ones. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import frozen

from ployz.ids import MTU_MIN, MachineId
from ployz.plan.doctor.readings import Examined
from ployz.plan.packets import remedy


@frozen
class Narrow:
    """A line about one machine, and all to and from which large packets are lost."""

    machine: MachineId
    text: str
    remedy: str


def narrow(examined: Sequence[Examined]) -> Iterator[Narrow]:
    """As few machines as there can be: of the lost ways, the one that most have in common, and so on."""
    order = [each.machine for each in examined]
    ways: dict[frozenset[MachineId], tuple[int, int]] = {}
    for each in examined:
        for lost in each.readings.packets if each.readings is not None else ():
            way = frozenset({each.machine, lost.machine})
            sent, passed = ways.get(way, (0, lost.passed_bytes))
            ways[way] = (max(sent, lost.sent_bytes), min(passed, lost.passed_bytes))
    while ways:
        count = Counter(machine for way in ways for machine in way)
        # Of two alike, the one that came later.
        worst = max(count, key=lambda machine: (count[machine], order.index(machine) if machine in order else -1))
        its = {way: sizes for way, sizes in ways.items() if worst in way}
        ways = {way: sizes for way, sizes in ways.items() if way not in its}
        others = sorted(machine for way in its for machine in way if machine != worst)
        sent_bytes = max(sent for sent, _ in its.values())
        passed_bytes = min(passed for _, passed in its.values())
        text = f"packets of {sent_bytes} bytes are lost between it and {', '.join(others)}: what is large hangs"
        if not passed_bytes:
            text = f"{text}, and so does what is {MTU_MIN} bytes"
        yield Narrow(worst, text, remedy(worst, passed_bytes))
