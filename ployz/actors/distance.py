"""The distance actor: round trips to the other machines, measured when somebody asks."""

from __future__ import annotations

from statistics import median
from typing import Final

import anyio

from ployz.actors.core import Actor, handles
from ployz.actors.messages.distance import Distance, Distances, DistanceTable, MeasureDistances, ShowDistances
from ployz.actors.messages.machine import Ping
from ployz.actors.parts import Parts
from ployz.config import PROBE_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.ids import MachineId

SAMPLES_MAX: Final = 50
US: Final = 1_000_000


class DistanceActor(Actor):
    """`distance`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @handles(MeasureDistances, concurrent=True)
    async def measure(self, message: MeasureDistances) -> Distances:
        others = [each.machine for each in self._parts.view.machines.in_order() if each.machine != self._parts.me]
        samples = min(message.samples, SAMPLES_MAX)
        return Distances(tuple([await self._to(machine, samples) for machine in others]))

    async def _to(self, machine: MachineId, samples: int) -> Distance:
        """The first ping opens the connection, and is not counted."""
        ref = self.system.remote(machine, "machine")
        taken_s: list[float] = []
        try:
            for _ in range(samples + 1):
                began_s = anyio.current_time()
                await ref.ask(Ping(), timeout_s=PROBE_TIMEOUT_S)
                taken_s.append(anyio.current_time() - began_s)
        except PloyzError:
            return Distance(self._parts.me, machine, -1, 0, 0)
        middle_us, deviation_us = spread_us(taken_s[1:])
        return Distance(self._parts.me, machine, middle_us, deviation_us, samples)

    @handles(ShowDistances, concurrent=True)
    async def show(self, message: ShowDistances) -> DistanceTable:
        if not 0 < message.samples <= SAMPLES_MAX:
            raise Refused(Code.USAGE, f"a pair is measured 1 to {SAMPLES_MAX} times, not {message.samples}")
        machines = [each.machine for each in self._parts.view.machines.in_order()]
        rows: list[Distance] = []
        silent: list[MachineId] = []
        for machine in machines:
            limit_s = PROBE_TIMEOUT_S * (len(machines) + 1)
            try:
                answer = await self.system.remote(machine, "distance").ask(
                    MeasureDistances(message.samples), timeout_s=limit_s
                )
            except PloyzError:
                silent.append(machine)
            else:
                rows += answer.rows
        return DistanceTable(tuple(machines), tuple(rows), tuple(silent))


def spread_us(taken_s: list[float]) -> tuple[int, int]:
    """The median, and the median distance from it: one slow answer among many moves neither."""
    middle_s = median(taken_s)
    return round(middle_s * US), round(median(abs(each - middle_s) for each in taken_s) * US)
