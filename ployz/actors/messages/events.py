"""To the actor `events`: this machine's own log, tailed, shown, verified and exported."""

from __future__ import annotations

from attrs import frozen

from ployz.ids import OperationId
from ployz.wire.message import OPERATOR, READER, Message, message


@frozen
class EventRow:
    """A record of the log. The payload travels as the log has it, so that a newer ployzctl shows an older event."""

    seq: int
    at_ms: int
    stream: str
    name: str
    version: int
    payload: bytes
    """Msgpack, as stored."""
    operation_id: OperationId | None
    step: str | None
    hash: bytes


@frozen
class EventsPage:
    events: tuple[EventRow, ...]
    head: int


@message("events.read", senders=READER)
@frozen
class ReadEvents(Message[EventsPage]):
    """A long poll: events with seq > `after` that match, at most `limit`; empty after `wait_s`.

    `after` of -1 asks for the newest `limit` events.
    """

    after: int
    limit: int
    wait_s: float
    stream: str | None = None
    operation_id: OperationId | None = None


@frozen
class Finding:
    seq: int
    text: str


@frozen
class Verified:
    head: int
    findings: tuple[Finding, ...]


@message("events.verify", senders=READER)
@frozen
class VerifyEvents(Message[Verified]):
    pass


@frozen
class Exported:
    path: str
    events: int


@message("events.export", senders=OPERATOR)
@frozen
class ExportEvents(Message[Exported]):
    """Writes a copy of the log, which ployzctl reads offline. Refused if `path` is there already."""

    path: str
