"""Scenarios that are played as one until they part: before its first fault, one is what every other is that begins with
the same orders. Where something strikes one of them, a fork goes on as that one alone.
"""

from __future__ import annotations

import os
import pickle
import signal
from typing import TYPE_CHECKING, BinaryIO, Final

from attrs import define, evolve, field

from tests.cluster.cluster import Cluster
from tests.cluster.effects import Effect
from tests.cluster.virtual_time import reseed
from tests.sim.faults import Faults, Moment
from tests.sim.orders import Abort
from tests.sim.report import Report
from tests.sim.scenario import Scenario
from tests.sim.striking import Armed, Blow

if TYPE_CHECKING:
    from tests.sim.playing import Play

HUNG_S: Final = 120
"""Of real time: a scenario that takes longer hangs outside of virtual time."""


def beginning(scenario: Scenario) -> Scenario:
    """Equal for those that are played as one until they part, and as if it were a scenario with a seed of its own."""
    orders = tuple(evolve(each, when=Moment(0)) if isinstance(each, Abort) else each for each in scenario.orders)
    return evolve(scenario, seed=0, orders=orders, faults=Faults(()), restarts=False)


@define(eq=False)
class Member:
    index: int
    """Which turn it is."""
    scenario: Scenario
    armed: Armed = field(factory=lambda: Armed([]), init=False)


@define(eq=False)
class Parting:
    members: list[Member]
    """Those who have not parted yet. Empty: this process plays one alone."""
    output: BinaryIO
    """For the reports of all of them, one process after the other."""
    index: int = field(default=-1, init=False)
    """Of that one."""

    def arm(self, step: int) -> None:
        """From here on effects count."""
        for each in self.members:
            each.armed = Armed.of(each.scenario, step)

    def step(self, play: Play, effect: Effect) -> list[Blow]:
        """In the process of the one that parts here: what strikes it. In the one of the others: nothing."""
        for member in list(self.members):
            due = member.armed.due(effect, play.history.step)
            if due and self._part(play, member):
                return due
        return []

    def all_part(self, play: Play) -> None:
        """Those that nothing has struck. Returns once in the process of each."""
        for member in list(self.members):
            if self._part(play, member):
                return

    def _part(self, play: Play, member: Member) -> bool:
        """True: this process is that one's now. The last one needs no other."""
        self.members.remove(member)
        signal.alarm(0)
        if self.members and (pid := os.fork()) != 0:
            _, status = os.waitpid(pid, 0)
            if status:
                self.write(member.index, broken(member.scenario, f"its process ended with {status}"))
            signal.alarm(HUNG_S)
            return False
        signal.alarm(HUNG_S)
        self.members.clear()
        self.index = member.index
        play.scenario, play.striker.armed = member.scenario, member.armed
        draw_from(play.cluster, member.scenario.seed)
        return True

    def write(self, index: int, report: Report) -> None:
        """At once, and whole: the next to write is another process."""
        self.output.write(pickle.dumps((index, report)))
        self.output.flush()


def draw_from(cluster: Cluster, seed: int) -> None:
    """Whatever is drawn from here on, by the scheduler and in the cluster, is drawn from this seed."""
    reseed(seed)
    cluster.shared.random.seed(seed)


def broken(scenario: Scenario, why: str, story: str = "") -> Report:
    return Report(scenario.seed, (f"the run broke: {why}",), story)
