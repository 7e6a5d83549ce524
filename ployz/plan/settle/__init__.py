"""What one machine has to do so that it agrees with the facts: after a commit, an abort, a start, a crash.

The same pure decision serves all four, so that recovery is not a second protocol. It never acts for an operation that
is undecided: that one's containers and datasets belong to its coordinator until the fact log says how it ended.
"""

from ployz.plan.settle.containers import (
    ContainerAction,
    Create,
    FoundContainer,
    Gate,
    Keep,
    Remove,
    Start,
    settle_containers,
)
from ployz.plan.settle.volumes import (
    AbortReceive,
    Adopt,
    DiscardPartial,
    FoundDataset,
    Missing,
    Prune,
    Retire,
    SetAside,
    TakeOver,
    Tune,
    VolumeAction,
    settle_volume,
)

__all__ = [
    "AbortReceive",
    "Adopt",
    "ContainerAction",
    "Create",
    "DiscardPartial",
    "FoundContainer",
    "FoundDataset",
    "Gate",
    "Keep",
    "Missing",
    "Prune",
    "Remove",
    "Retire",
    "SetAside",
    "Start",
    "TakeOver",
    "Tune",
    "VolumeAction",
    "settle_containers",
    "settle_volume",
]
