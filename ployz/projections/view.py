"""All projections of the fact log together, at one position: what every plan is made from."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from ployz.events.types import Fact
from ployz.projections.invites import Invites
from ployz.projections.machines import Machines
from ployz.projections.operations import Operations
from ployz.projections.placement import Placement
from ployz.projections.secrets import Secrets


@define
class ClusterView:
    """The cluster as of `position`. Facts are applied in order, each exactly once."""

    position: int = 0
    machines: Machines = field(factory=Machines)
    placement: Placement = field(factory=Placement)
    operations: Operations = field(factory=Operations)
    invites: Invites = field(factory=Invites)
    secrets: Secrets = field(factory=Secrets)

    def apply(self, fact: Fact, position: int, at_ms: int) -> None:
        if position != self.position + 1:
            raise AssertionError(f"fact {position} applied to a view at {self.position}")
        self.machines.apply(fact)
        self.placement.apply(fact, position, at_ms)
        self.operations.apply(fact, position, at_ms)
        self.invites.apply(fact)
        self.secrets.apply(fact, at_ms)
        self.position = position

    def copy(self) -> ClusterView:
        """As it is now, for who reads it beside the loop, in which facts go on being applied to this one. The values
        are frozen, so only what holds them is copied. Of operations archived long ago both know the same.
        """
        return ClusterView(
            self.position,
            self.machines.copy(),
            self.placement.copy(),
            self.operations.copy(),
            self.invites.copy(),
            self.secrets.copy(),
        )


def fold(facts: Iterable[tuple[int, int, Fact]]) -> ClusterView:
    """From (position, wall time in ms, fact), in order from 1."""
    view = ClusterView()
    for position, at_ms, fact in facts:
        view.apply(fact, position, at_ms)
    return view
