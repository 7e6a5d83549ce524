"""To the actor `machine`: who is there, and what is there."""

from __future__ import annotations

from attrs import frozen

from ployz.events.words import Lifecycle
from ployz.ids import ClusterName, MachineId, OperationId, SlotRef, VolumeRef
from ployz.wire.message import OPERATOR, PEER, READER, Message, message


@frozen
class Pong:
    machine: MachineId
    position: int
    version: str


@message("machine.ping", senders=PEER | READER)
@frozen
class Ping(Message[Pong]):
    """From any node that wants to know whether this one answers."""


@frozen
class SettingRow:
    key: str
    value: str
    is_default: bool


@frozen
class MachineRow:
    machine: MachineId
    lifecycle: Lifecycle
    founder: bool
    ipv6: str
    ipv4: str
    endpoint: str
    reachable: bool
    version: str
    """Empty when it is not reachable."""
    position: int
    """How far it has followed the fact log; 0 when it is not reachable."""
    slots: int
    volumes: int
    settings: tuple[SettingRow, ...] = ()
    silent_ms: int = -1
    """Since a message of it last arrived on any machine that answers; 0: it answers now, -1: nobody knows."""
    heard_at: str = ""
    """Where WireGuard of the machine that was asked heard it last, if that is not its endpoint."""


@frozen
class MachineList:
    cluster: ClusterName | None
    position: int
    machines: tuple[MachineRow, ...]
    removed: bool = False
    """The machine that was asked is no member any more, and knows the others as they were then."""


@message("machine.list", senders=READER)
@frozen
class ListMachines(Message[MachineList]):
    """From ployzctl. Asks every member whether it answers."""


@frozen
class Silence:
    """How long a machine heard nothing from another one; -1: never since its ployzd started."""

    silent_ms: int


@message("machine.ask_silence", senders=PEER)
@frozen
class AskSilence(Message[Silence]):
    """From a machine that cannot reach this one: who heard from it last?"""

    machine: MachineId


@frozen
class MachineDetail:
    row: MachineRow
    volumes: tuple[VolumeRef, ...]
    slots: tuple[SlotRef, ...]
    operations: tuple[OperationId, ...]
    """Undecided ones that it takes part in."""


@message("machine.show", senders=READER)
@frozen
class ShowMachine(Message[MachineDetail]):
    """From ployzctl on any member."""

    machine: MachineId


@frozen
class ClusterSettingList:
    settings: tuple[SettingRow, ...]


@message("cluster.set", senders=OPERATOR)
@frozen
class SetCluster(Message[ClusterSettingList]):
    """From ployzctl on any member: `KEY=VALUE`. Answers when this machine follows it."""

    setting: str


@message("machine.set", senders=OPERATOR)
@frozen
class SetMachine(Message[MachineDetail]):
    """From ployzctl on any member: `KEY=VALUE`, each checked here. Answers when this machine follows them."""

    machine: MachineId
    settings: tuple[str, ...]
