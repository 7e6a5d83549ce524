"""What plan/settle decides about one volume here, asked with what the facts say about it."""

from __future__ import annotations

from collections.abc import Sequence

from ployz.ids import MachineId, VolumeRef
from ployz.plan import committed, names, properties
from ployz.plan.settle.volumes import FoundDataset, VolumeAction, settle_volume
from ployz.projections.view import ClusterView


def decide_volume(
    view: ClusterView, me: MachineId, volume: VolumeRef, found: FoundDataset | None
) -> Sequence[VolumeAction]:
    owned = view.placement.volumes.get(volume)
    base = view.placement.base(volume)
    declared = committed.volume(view, volume)
    return settle_volume(
        volume,
        owned if owned is not None and owned.owner == me else None,
        found,
        me=me,
        base=base.snapshot if base else None,
        taken=view.placement.takeover(volume),
        quota_bytes=None if declared is None else declared.quota_bytes or 0,
        settings=properties.declared(declared),
        operation_of=names.operation_of_snapshot,
        status_of=view.operations.status,
    )
