"""Records as plain JSON for people and scripts: `events tail --json` and `events show` print this.

JSON's numbers are doubles to most readers, and it has no bytes: large ints and bytes become text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from ployz.events.codec import CODEC, Codec
from ployz.events.log import Record
from ployz.events.types import Event, FactMirrored

EXACT_IN_A_DOUBLE_MAX: Final = 2**53


def event_to_display(event: Event, codec: Codec = CODEC) -> dict[str, Any]:
    """The event's fields. A ZFS guid comes out as text when it needs to; the fact in a mirrored one by its own name."""
    fields = codec.fields(event)
    if isinstance(event, FactMirrored):
        fact = event.fact
        fields["fact"] = {"name": _name(fact), "payload": event_to_display(fact, codec)}
    shown: dict[str, Any] = _plain(fields)
    return shown


def record_to_display(record: Record, codec: Codec = CODEC) -> dict[str, Any]:
    """One object a record, with stable keys."""
    return {
        "seq": record.seq,
        "at": datetime.fromtimestamp(record.at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "stream": record.stream,
        "name": _name(record.event),
        "operation_id": None if record.operation_id is None else str(record.operation_id),
        "step": record.step,
        "payload": event_to_display(record.event, codec),
        "hash": record.hash.hex(),
    }


def _name(event: Event) -> str:
    return f"{event.event_name}/{event.event_version}"


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case bool():
            return value
        case int() if abs(value) > EXACT_IN_A_DOUBLE_MAX:
            return str(value)
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case _:
            return value
