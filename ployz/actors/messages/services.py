"""To the actor `services`: what an operator sees of services and volumes, and removes."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId, ServiceRef, SlotName, VolumeRef
from ployz.wire.message import OPERATOR, READER, Done, Message, message


@frozen
class SlotRow:
    service: ServiceRef
    slot: SlotName
    machine: MachineId
    state: str
    """`running`, `unready`, `paused`, `exited (1)`, `missing`, `fenced`, or `unknown` where the machine does not
    answer.
    """
    image: str
    ipv6: str
    ipv4: str
    since_ms: int = 0
    """When it became that, by its machine's clock; 0: not known."""
    restarts: int = 0
    """Since its ployzd began to look after it."""
    why: str = ""
    """Of an unready one, what the last look said; of one that ended, why it could not be started again."""


@frozen
class ServiceList:
    position: int
    slots: tuple[SlotRow, ...]


@message("service.list", senders=READER)
@frozen
class ListServices(Message[ServiceList]):
    """Asks each machine for the state of its containers."""


@frozen
class ServiceDetail:
    service: ServiceRef
    toml: str
    """Its part of the committed manifest."""
    slots: tuple[SlotRow, ...]
    volumes: tuple[VolumeRef, ...]


@message("service.show", senders=READER)
@frozen
class ShowService(Message[ServiceDetail]):
    service: ServiceRef


@frozen
class ServiceLogText:
    text: str


@message("service.logs", senders=READER)
@frozen
class ReadServiceLogs(Message[ServiceLogText]):
    service: ServiceRef
    slot: SlotName | None
    tail: int


@frozen
class VolumeRow:
    volume: VolumeRef
    owner: MachineId
    epoch: int
    used_by: tuple[ServiceRef, ...]
    referenced_bytes: int | None
    """None: its owner does not answer."""
    quota_bytes: int
    """Of its data. 0: none."""
    snapshots_bytes: int = 0
    """What only its snapshots hold on to, beside the quota."""


@frozen
class VolumeList:
    position: int
    volumes: tuple[VolumeRow, ...]


@message("volume.list", senders=READER)
@frozen
class ListVolumes(Message[VolumeList]):
    pass


@frozen
class CopyRow:
    """A dataset of the volume on one machine."""

    machine: MachineId
    epoch: int
    owner: bool
    referenced_bytes: int
    snapshots: tuple[str, ...]
    snapshots_bytes: int = 0
    """What only they hold on to."""


@frozen
class AsideRow:
    """What a machine had of the volume when it was taken over: no part of it, and kept for an operator."""

    machine: MachineId
    dataset: str
    referenced_bytes: int


@frozen
class VolumeDetail:
    row: VolumeRow
    copies: tuple[CopyRow, ...]
    unanswered: tuple[MachineId, ...]
    asides: tuple[AsideRow, ...] = ()


@message("volume.show", senders=READER)
@frozen
class ShowVolume(Message[VolumeDetail]):
    volume: VolumeRef


@frozen
class CopyDropped:
    machine: MachineId
    freed_bytes: int
    """What the copy and its snapshots had."""


@message("volume.drop_copy", senders=OPERATOR)
@frozen
class DropCopy(Message[CopyDropped]):
    """Destroys what a machine has of a volume that another one owns. The next move there sends all of it."""

    volume: VolumeRef
    machine: MachineId


@message("volume.remove", senders=OPERATOR)
@frozen
class RemoveVolume(Message[Done]):
    """Destroys the data, everywhere. Refused while a service mounts it."""

    volume: VolumeRef
