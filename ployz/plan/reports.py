"""What a participant says when it is probed: the world as plans see it. Values only.

A report is a look at one instant. Whatever a plan decides from it is checked again where it is acted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from ployz.ids import MachineId, VolumeRef


@frozen
class SnapshotReport:
    name: str
    guid: int


@frozen
class HolderReport:
    """A process that uses a dataset, other than the containers of the services that mount it."""

    pid: int
    command: str


@frozen
class VolumeReport:
    """A dataset that stands for a volume on one machine, whoever owns the volume."""

    volume: VolumeRef
    epoch: int
    """0: it was received and never committed."""
    referenced_bytes: int
    quota_bytes: int
    """0: none."""
    snapshots: tuple[SnapshotReport, ...]
    """Oldest first."""
    strangers: tuple[HolderReport, ...]


@frozen
class ImageReport:
    reference: str
    """As it was asked for: a tag, or an id."""
    image_id: str
    size_bytes: int


@frozen
class MachineReport:
    machine: MachineId
    position: int
    pool_size_bytes: int
    pool_free_bytes: int
    pool_health: str
    volumes: tuple[VolumeReport, ...]
    """Those of the asked ones that exist there."""
    images: tuple[ImageReport, ...]
    """Those of the asked ones that exist there."""

    def volume(self, volume: VolumeRef) -> VolumeReport | None:
        return next((each for each in self.volumes if each.volume == volume), None)

    def image(self, reference: str) -> ImageReport | None:
        return next((each for each in self.images if each.reference == reference), None)


@frozen
class Unanswered:
    """A machine that was asked and did not report."""

    machine: MachineId
    why: str


Reports = Mapping[MachineId, MachineReport | Unanswered]


def common_base(source: Iterable[SnapshotReport], target: Iterable[SnapshotReport]) -> SnapshotReport | None:
    """The newest snapshot of the source that the target has too, by guid: a name proves nothing (openzfs 4050)."""
    known = {snapshot.guid for snapshot in target}
    shared = [snapshot for snapshot in source if snapshot.guid in known]
    return shared[-1] if shared else None
