"""A cluster at one instant, as plain values: what is compared, and what must be true of it in the end."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId


@frozen
class ContainerSeen:
    id: str
    name: str
    operation: str
    slot: str
    """`production/db/slot-1`"""
    running: bool


@frozen
class DatasetSeen:
    volume: str
    epoch: int
    mounted: bool
    readonly: bool
    snapshots: tuple[str, ...]
    """Names of ployz's own."""
    held: tuple[str, ...]
    partial: bool
    """What a receive that was broken off has left is in it."""


@frozen
class MachineSeen:
    machine: MachineId
    containers: tuple[ContainerSeen, ...]
    datasets: tuple[DatasetSeen, ...]
    fences: tuple[str, ...]
    leases: tuple[str, ...]
    local: frozenset[str]
    closed: frozenset[str]
    hidden: frozenset[str]
    sent_to: tuple[tuple[str, MachineId], ...]
    """(address of a slot, machine)"""
    position: int
    """Of its mirror."""
    taken: tuple[str, ...] = ()
    """What others took away, or left behind, and that is not put right: in words."""


Picture = tuple[MachineSeen, ...]
