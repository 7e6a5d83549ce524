"""What a machine holds by the facts, and whether it may leave or rest. Pure.

A machine that is not active gets nothing new, by the compares of every commit: what it holds can only become less.
"""

from __future__ import annotations

from attrs import frozen

from ployz.errors import Code, Refused
from ployz.ids import MachineId, OperationId, SlotRef, VolumeRef
from ployz.projections.machines import Member
from ployz.projections.view import ClusterView


@frozen
class Holdings:
    """Everything that keeps a machine from being let go."""

    volumes: tuple[VolumeRef, ...]
    slots: tuple[SlotRef, ...]
    operations: tuple[OperationId, ...]
    """Undecided ones that it takes part in."""

    @property
    def nothing(self) -> bool:
        return not (self.volumes or self.slots or self.operations)

    def in_words(self) -> list[str]:
        return [
            *(f"volume {volume}" for volume in self.volumes),
            *(f"service {slot}" for slot in self.slots),
            *(f"operation {operation}, which is not decided" for operation in self.operations),
        ]


def holdings(view: ClusterView, machine: MachineId) -> Holdings:
    return Holdings(
        volumes=tuple(each.volume for each in view.placement.volumes_on(machine)),
        slots=tuple(ref for ref, slot in view.placement.slots() if slot.machine == machine),
        operations=tuple(each.operation_id for each in view.operations.undecided() if machine in each.participants),
    )


def member_of(view: ClusterView, machine: MachineId) -> Member:
    """`Refused` (UNKNOWN_MACHINE) with the names that there are."""
    member = view.machines.get(machine)
    if member is None:
        known = ", ".join(each.machine for each in view.machines.in_order()) or "none"
        raise Refused(Code.UNKNOWN_MACHINE, f"there is no machine {machine} in the cluster", f"There are: {known}.")
    return member


def check_holds_nothing(view: ClusterView, machine: MachineId) -> None:
    """`Refused` (MACHINE_IN_USE) with all that it holds, and the way out."""
    held = holdings(view, machine)
    if held.nothing:
        return
    lines = "".join(f"\n  {each}" for each in held.in_words())
    advice = []
    if held.volumes or held.slots:
        advice.append(f"`ployzctl machine drain {machine} --migrate` moves it all away.")
    if held.operations:
        advice.append(f"`ployzctl operation watch {held.operations[0]}` shows what goes on.")
    raise Refused(Code.MACHINE_IN_USE, f"{machine} still has:{lines}", " ".join(advice))


def check_removable(view: ClusterView, machine: MachineId) -> Member:
    """Whatever it holds: it is a member, and the cluster can do without it. `Refused`: UNKNOWN_MACHINE, AUTHORITY."""
    member = member_of(view, machine)
    cluster = view.machines.cluster
    if cluster is not None and cluster.founder == machine:
        raise Refused(
            Code.AUTHORITY,
            f"{machine} founded {cluster.cluster} and keeps its facts: without it nothing could be committed any more",
            f"`ployzctl machine standby {machine}` keeps it as that, and nothing else.",
        )
    return member
