"""Between the wire and the actors: who asked for a change is in the log before anything of it is done."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import attrs
from attrs import frozen

from ployz.actors.journal import Journal
from ployz.errors import Code, Refused
from ployz.events.types import CommandGiven
from ployz.ids import Certificate, Name, ServiceRef, SlotRef, VolumeRef
from ployz.wire.connection import Deliver
from ployz.wire.message import READER, Message, Operator, Sender

STREAM: Final = "operators"

R = TypeVar("R")

_log = logging.getLogger("ployz.operators")


@frozen
class Witness:
    """A `Deliver`. Reads are not written down: a watch would fill the log."""

    journal: Journal
    deliver: Deliver

    async def __call__(self, to: str, message: Message[R], sender: Sender, *, timeout_s: float) -> R:
        if isinstance(sender, Operator) and READER not in message.senders:
            if not sender.may_change:
                _log.warning("%s asked for %s, and may only look", sender, message.tag)
                raise Refused(
                    Code.NOT_ALLOWED,
                    f"user {sender.uid} may look, and {message.tag} is a change",
                    "Root may, and members of the group ployz-admin: usermod -aG ployz-admin USER, and log in anew.",
                )
            given = CommandGiven(sender.uid, sender.pid, message.tag, about(message))
            await self.journal.record(STREAM, given)
        reply: R = await self.deliver(to, message, sender, timeout_s=timeout_s)
        return reply


def about(message: Message[Any]) -> str:
    """The names in it, which are never secret. A manifest or a token is left out whole."""
    return ", ".join(dict.fromkeys(_names(attrs.astuple(message, recurse=False))))  # type: ignore[arg-type]


def _names(values: tuple[Any, ...]) -> Iterator[str]:
    for each in values:
        if isinstance(each, tuple):
            yield from _names(each)
        elif isinstance(each, Name | ServiceRef | VolumeRef | SlotRef) and not isinstance(each, Certificate):
            yield str(each)
