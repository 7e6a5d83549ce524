"""Who orders the facts, as the machines of a simulated cluster are told: the founding one, or members of an etcd."""

from __future__ import annotations

from attrs import define, field

from ployz.actors.core import Actor, handles
from ployz.actors.messages.authority import ClusterState, EtcdMember, ShowCluster
from ployz.actors.parts import Parts
from ployz.ids import MachineId


@define(eq=False)
class Ordering:
    """Of all machines alike. A lever: `members`, for what is refused while facts are on etcd."""

    members: list[MachineId] = field(factory=list)


class TellsWhoOrders(Actor):
    """`authority`."""

    def __init__(self, parts: Parts, ordering: Ordering) -> None:
        self._parts = parts
        self._ordering = ordering

    @handles(ShowCluster)
    async def show(self, message: ShowCluster) -> ClusterState:
        cluster = self._parts.view.machines.cluster
        assert cluster is not None
        members = tuple(
            EtcdMember("https://[::1]:2379", True, "3.5.28", False, 0, 0, "", each) for each in self._ordering.members
        )
        position = self._parts.view.position
        return ClusterState("etcd" if members else "embedded", cluster.founder, position, position, "", members)
