"""What a message is: a frozen attrs class that names its reply, in a closed registry, and who sent it.

The domain's messages are in ployz/actors/messages; how a message becomes bytes is in wire/codec.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Flag, auto
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

import attrs
from attrs import frozen

from ployz.ids import MachineId

R_co = TypeVar("R_co", covariant=True)
M = TypeVar("M", bound="Message[Any]")

_TAG = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*\Z")


class Origin(Flag):
    """Where a message may come from."""

    LOCAL = auto()
    """Another actor of the same node: always allowed."""
    PEER = auto()
    """Another machine of the cluster, over the overlay."""
    OPERATOR = auto()
    """The command line, over the node's unix socket, of somebody who may change things."""
    READER = auto()
    """The same, of somebody who may look. What readers may ask, operators may, too."""
    NEWCOMER = auto()
    """Anybody, while an invitation is open. What it sends has to prove itself."""


LOCAL, PEER, OPERATOR, READER, NEWCOMER = Origin.LOCAL, Origin.PEER, Origin.OPERATOR, Origin.READER, Origin.NEWCOMER


@frozen
class Local:
    """This node itself."""

    origin: ClassVar[Origin] = LOCAL

    def __str__(self) -> str:
        return "this node"


@frozen
class Peer:
    """Another machine, whose key and overlay address were checked against the membership."""

    origin: ClassVar[Origin] = PEER
    machine: MachineId

    def __str__(self) -> str:
        return f"machine {self.machine}"


@frozen
class Operator:
    """A process of this machine, as the kernel names it (SO_PEERCRED)."""

    pid: int
    uid: int
    may_change: bool = True

    @property
    def origin(self) -> Origin:
        return OPERATOR if self.may_change else READER

    def __str__(self) -> str:
        return f"process {self.pid} of user {self.uid}"


@frozen
class Newcomer:
    """Somebody outside the cluster, of whom nothing is known but the address."""

    origin: ClassVar[Origin] = NEWCOMER
    address: str

    def __str__(self) -> str:
        return f"somebody at {self.address}"


Sender = Local | Peer | Operator | Newcomer


def is_trusted(sender: Sender) -> bool:
    """This node, a member, or somebody who may change things: not a reader, and nobody from outside."""
    return sender.origin not in READER | NEWCOMER


class Message(Generic[R_co]):
    """Base of every message. `Message[VolumeReport]` says that a VolumeReport answers it."""

    __slots__ = ()
    tag: ClassVar[str] = ""
    reply: ClassVar[type[Any]] = object
    senders: ClassVar[Origin] = LOCAL


@frozen
class Done:
    """The reply of a message that has nothing to tell but that it was done."""


_REGISTRY: dict[str, type[Message[Any]]] = {}


def message(tag: str, *, senders: Origin = LOCAL) -> Callable[[type[M]], type[M]]:
    """Enters a frozen attrs class into the registry: `@message("volume.probe", senders=PEER | OPERATOR)`.

    READER is for what changes nothing: everything else that operators send is written down, with who sent it.

    The tag is `noun.verb` and is what travels; a Python name never does. The reply type is the one between the
    brackets of `Message[…]`, an attrs class itself.
    """

    def enter(cls: type[M]) -> type[M]:
        if not _TAG.match(tag):
            raise AssertionError(f"{tag!r} is no message tag: write noun.verb")
        if tag in _REGISTRY:
            raise AssertionError(f"{tag} is in the registry twice")
        if not hasattr(cls, "__attrs_attrs__"):
            raise AssertionError(f"{cls.__name__} is no attrs class: put @frozen between @message and the class")
        cls.tag = tag
        cls.reply = _reply_type(cls)
        cls.senders = senders | LOCAL | (OPERATOR if READER in senders else LOCAL)
        _REGISTRY[tag] = cls
        return cls

    return enter


def registry() -> Mapping[str, type[Message[Any]]]:
    """Every message class that was imported, by tag."""
    return dict(_REGISTRY)


def message_class(tag: str) -> type[Message[Any]] | None:
    return _REGISTRY.get(tag)


def _reply_type(cls: type[Message[Any]]) -> type[Any]:
    for base in getattr(cls, "__orig_bases__", ()):
        if get_origin(base) is Message:
            reply = get_args(base)[0]
            if isinstance(reply, type) and attrs.has(reply):
                return reply
    raise AssertionError(f"{cls.__name__} names no reply: derive it from Message[Reply], Reply being an attrs class")
