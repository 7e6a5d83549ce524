"""To the actor `authority`: where the facts are ordered, how that is doing, and moving it; and to `facts`: where to."""

from __future__ import annotations

from attrs import field, frozen

from ployz.ids import MachineId
from ployz.wire.message import OPERATOR, PEER, READER, Message, message


@frozen
class EtcdMember:
    endpoint: str
    answers: bool
    version: str
    leads: bool
    size_bytes: int
    lag: int
    """How many entries of etcd's own log it is behind the member that is furthest."""
    concern: str
    machine: str = ""
    """Which of the cluster's machines that is; empty: none, or it cannot be told."""


@frozen
class ClusterState:
    ordered_by: str
    """`etcd`, or `embedded`: the founding machine."""
    founder: MachineId
    position: int | None
    """Of the last fact; None: whoever orders them did not say."""
    mirrored: int
    """Of the last fact that this machine has."""
    why: str
    """Why there is no position."""
    members: tuple[EtcdMember, ...]
    isolation: bool = False
    """Namespaces that say nothing about it are reached by their own containers alone."""


@message("authority.show", senders=READER)
@frozen
class ShowCluster(Message[ClusterState]):
    pass


@frozen
class Promoted:
    position: int
    """The last fact that the founding machine ordered: the next one is etcd's."""
    members: tuple[EtcdMember, ...]


@message("authority.promote", senders=PEER | OPERATOR)
@frozen
class PromoteFacts(Message[Promoted]):
    """Moves the fact log to etcd. At any machine; the founding one does it."""

    access: str = field(repr=False)
    """How the etcd is reached: the text of an EtcdAccess. Empty: it is made, on `machines`."""
    machines: tuple[MachineId, ...] = ()
    """Who runs a member of the cluster's own etcd."""


@frozen
class MemberReplaced:
    members: tuple[EtcdMember, ...]


@message("authority.replace", senders=PEER | OPERATOR)
@frozen
class ReplaceMember(Message[MemberReplaced]):
    """Gives the place of a member of the cluster's own etcd to another machine. At any machine; a member does it."""

    old: MachineId
    new: MachineId


@frozen
class BackedUp:
    path: str
    position: int


@message("authority.back_up", senders=OPERATOR)
@frozen
class BackUpFacts(Message[BackedUp]):
    """To a new file on this machine."""

    path: str


@frozen
class FactsWhere:
    access: str = field(repr=False)


@message("facts.where", senders=PEER)
@frozen
class AskWhere(Message[FactsWhere]):
    """From a machine that was told that the facts are elsewhere now."""
