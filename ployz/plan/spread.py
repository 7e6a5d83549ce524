"""Which machine gets the next new slot of a service: with the fewest of that service, then with the fewest at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from heapq import heapify, heapreplace

from ployz.ids import MachineId
from ployz.projections.machines import Member


class Spread:
    """For one service. Ties go to the lowest machine number."""

    def __init__(self, members: Iterable[Member], *, own: Counter[MachineId], load: Counter[MachineId]) -> None:
        """`own`: slots of the service that stay. `load`: all slots of the cluster; what is taken is added to it."""
        self._load = load
        self._heap = [(own[each.machine], load[each.machine], each.number, each.machine) for each in members]
        heapify(self._heap)

    def take(self) -> MachineId | None:
        """None: there is no machine."""
        if not self._heap:
            return None
        own, load, number, machine = self._heap[0]
        heapreplace(self._heap, (own + 1, load + 1, number, machine))
        self._load[machine] += 1
        return machine
