"""What a participant says when it is probed: the world as plans see it. Values only.

A report is a look at one instant. Whatever a plan decides from it is checked again where it is acted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from ployz.ids import MachineId, OperationId, SlotRef, VolumeRef


@frozen
class SnapshotReport:
    name: str
    guid: int


@frozen
class HolderReport:
    """A process that uses a dataset, other than the containers of the services that mount it."""

    pid: int
    command: str
    slot: SlotRef | None = None
    """Of ployz, whose container it is in. None: of none."""
    how: str = ""
    """Ends the sentence that begins with who."""


@frozen
class KeepReport:
    """Somebody's hold or clone of a snapshot: while it is there, the snapshot cannot go."""

    snapshot: str
    """The part after '@'."""
    why: str
    """A sentence."""
    remedy: str
    """The command that ends it."""


@frozen
class VolumeReport:
    """A dataset that stands for a volume on one machine, whoever owns the volume."""

    volume: VolumeRef
    epoch: int
    """0: it was received and never committed."""
    referenced_bytes: int
    quota_bytes: int
    """Of its data. 0: none."""
    snapshots: tuple[SnapshotReport, ...]
    """Oldest first."""
    strangers: tuple[HolderReport, ...]
    logical_bytes: int = 0
    """What its data is before compression."""
    local: Mapping[str, str] = field(factory=dict)
    """The ZFS properties that were set on it, by ployz or by hand."""
    keeps: tuple[KeepReport, ...] = ()
    """Of others than ployz, where they were asked for."""
    children: tuple[str, ...] = ()
    """Datasets that somebody made below it, the first ones, where they were asked for: no part of the volume."""
    snapshots_bytes: int = 0
    """What only its snapshots hold on to: the pool lacks it, and the quota does not count it."""

    @property
    def uncompressed_bytes(self) -> int:
        """What a full stream of it has, and what it takes where that is received."""
        return max(self.logical_bytes, self.referenced_bytes)


@frozen
class ImageReport:
    reference: str
    """As it was asked for: a tag, or an id."""
    image_id: str
    size_bytes: int
    volumes: tuple[str, ...] = ()
    """Folders that it calls a VOLUME."""


@frozen
class OwnPort:
    """A port of the machine that ployz itself listens on."""

    number: int
    protocol: str
    """`tcp` or `udp`."""
    by: str
    """`ployz's name server`."""
    addresses: tuple[str, ...] = ()
    """Where it listens. Empty: on every address."""


@frozen
class EndedReport:
    """A container of the namespace whose program has ended, and which its restart policy leaves so."""

    slot: SlotRef
    operation_id: OperationId
    """Whose container it is."""
    exit_code: int


@frozen
class UncoveredReport:
    """A VOLUME of its image that nothing is mounted on, in a container of the namespace."""

    slot: SlotRef
    operation_id: OperationId
    """Whose container it is."""
    path: str
    written: bool


@frozen
class AsideReport:
    """A dataset that was a volume's, kept aside after a takeover."""

    volume: VolumeRef
    dataset: str
    referenced_bytes: int


@frozen
class PacketReport:
    """A machine to which a packet of the size that may be sent does not get, or from which its answer does not come."""

    machine: MachineId
    sent_bytes: int
    passed_bytes: int
    """The largest that did. 0: none of the size that the overlay needs, though small ones do."""


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
    asides: tuple[AsideReport, ...] = ()
    """Of the asked volumes."""
    unreached: tuple[MachineId, ...] = ()
    """Those of the asked machines that did not answer it."""
    packets: tuple[PacketReport, ...] = ()
    """Those of them to which not all arrives that it may send."""
    uncovered: tuple[UncoveredReport, ...] = ()
    """Of the asked namespace, as `ended`."""
    ended: tuple[EndedReport, ...] = ()
    own_ports: tuple[OwnPort, ...] = ()
    addresses: tuple[str, ...] = ()
    """Of the machine, all of them but those of the loopback."""
    missing: tuple[SlotRef, ...] = ()
    """Slots that the facts place there, and of which the container is gone: somebody removed it."""

    def volume(self, volume: VolumeRef) -> VolumeReport | None:
        return next((each for each in self.volumes if each.volume == volume), None)


@frozen
class Unanswered:
    """A machine that was asked and did not report."""

    machine: MachineId
    why: str


Reports = Mapping[MachineId, MachineReport | Unanswered]


class Answers:
    """The reports of those who answered, by what is looked for in them."""

    def __init__(self, reports: Reports) -> None:
        self._machines = {name: each for name, each in sorted(reports.items()) if isinstance(each, MachineReport)}
        self._volumes = {(name, each.volume): each for name, of in self._machines.items() for each in of.volumes}
        self._images: dict[str, dict[MachineId, ImageReport]] = {}
        for name, of in self._machines.items():
            for each in of.images:
                for key in (each.reference, each.image_id):
                    self._images.setdefault(key, {}).setdefault(name, each)

    def machine(self, machine: MachineId) -> MachineReport | None:
        return self._machines.get(machine)

    def volume(self, machine: MachineId, volume: VolumeRef) -> VolumeReport | None:
        return self._volumes.get((machine, volume))

    def uncovered(self, machine: MachineId, slot: SlotRef, operation_id: OperationId) -> dict[str, bool]:
        """By path in the container of that operation: whether it has written there."""
        of = self._machines.get(machine)
        seen = of.uncovered if of else ()
        return {each.path: each.written for each in seen if (each.slot, each.operation_id) == (slot, operation_id)}

    def ended(self, machine: MachineId, slot: SlotRef, operation_id: OperationId) -> int | None:
        """The exit code of what has ended for good. None: it runs, or would be started again."""
        of = self._machines.get(machine)
        seen = of.ended if of else ()
        return next((each.exit_code for each in seen if (each.slot, each.operation_id) == (slot, operation_id)), None)

    def is_missing(self, machine: MachineId, slot: SlotRef) -> bool:
        report = self._machines.get(machine)
        return report is not None and slot in report.missing

    def images(self, reference: str) -> Mapping[MachineId, ImageReport]:
        """Who has the image of this tag or id, in order of their names."""
        return self._images.get(reference, {})


def common_base(source: Iterable[SnapshotReport], target: Iterable[SnapshotReport]) -> SnapshotReport | None:
    """The newest snapshot of the source that the target has too, by guid: a name proves nothing (openzfs 4050)."""
    known = {snapshot.guid for snapshot in target}
    shared = [snapshot for snapshot in source if snapshot.guid in known]
    return shared[-1] if shared else None
