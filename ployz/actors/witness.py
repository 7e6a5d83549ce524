"""Between the wire and the actors: who asked for a change is in the log before anything of it is done."""

from __future__ import annotations

import logging
import pwd
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import attrs
from anyio import to_thread
from attrs import frozen

from ployz.actors.journal import Journal
from ployz.actors.messages.operations import ApplyDeparture, ApplyDeploy, ApplyMigration, RemoveService
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import CommandGiven
from ployz.ids import Certificate, Name, OperationId, ServiceRef, SlotRef, VolumeRef
from ployz.manifest import parse
from ployz.wire.connection import Deliver
from ployz.wire.message import READER, Message, Operator, Sender

STREAM: Final = "operators"
BEGINS: Final = (ApplyDeparture, ApplyDeploy, ApplyMigration, RemoveService)
WHY_MAX: Final = 500
"""Characters of what an operator says about a command."""

R = TypeVar("R")

_log = logging.getLogger("ployz.operators")


@frozen
class Witness:
    """A `Deliver`. Reads are not written down: a watch would fill the log."""

    journal: Journal
    deliver: Deliver
    new_operation_id: Callable[[], OperationId] | None = None
    """For commands that begin an operation: who gave the command is in the log with it. None: the actors choose one."""

    async def __call__(self, to: str, message: Message[R], sender: Sender, *, timeout_s: float) -> R:
        if isinstance(sender, Operator) and READER not in message.senders:
            if not sender.may_change:
                _log.warning("%s asked for %s, and may only look", sender, message.tag)
                raise Refused(
                    Code.NOT_ALLOWED,
                    f"user {sender.uid} may look, and {message.tag} is a change",
                    "Root may, and members of the group ployz-admin: usermod -aG ployz-admin USER, and log in anew.",
                )
            # Beside the loop: a manifest may be large, and names may be asked for on a network.
            user, subject = await to_thread.run_sync(lambda: (_user_name(sender.uid), about(message)))
            given = CommandGiven(sender.uid, sender.pid, message.tag, subject, user, _why(message))
            operation_id = None
            if isinstance(message, BEGINS):  # what the sender wrote there is never taken
                operation_id = self.new_operation_id() if self.new_operation_id else None
                message = attrs.evolve(message, operation_id=operation_id)  # type: ignore[assignment]
            await self.journal.record(STREAM, given, operation_id=operation_id)
        reply: R = await self.deliver(to, message, sender, timeout_s=timeout_s)
        return reply


def about(message: Message[Any]) -> str:
    """The names in it, which are never secret. A token is left out whole, and a manifest but for its namespace."""
    if isinstance(message, ApplyDeploy):
        try:
            return str(parse(message.text).namespace)
        except PloyzError:
            return ""
    return ", ".join(dict.fromkeys(_names(attrs.astuple(message, recurse=False))))  # type: ignore[arg-type]


def _why(message: Message[Any]) -> str:
    """In one line, whatever was sent."""
    text = str(getattr(message, "message", ""))
    return " ".join(text.split())[:WHY_MAX]


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _names(values: tuple[Any, ...]) -> Iterator[str]:
    for each in values:
        if isinstance(each, tuple):
            yield from _names(each)
        elif isinstance(each, Name | ServiceRef | VolumeRef | SlotRef) and not isinstance(each, Certificate):
            yield str(each)
