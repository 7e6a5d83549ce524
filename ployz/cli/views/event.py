"""Events for people: one line each in a list, or one of them in full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from ployz.cli import human
from ployz.cli.blocks import Block, Fields, Heading, Lines
from ployz.events.display import event_to_display
from ployz.events.log import Record
from ployz.events.types import Event, FactMirrored

VALUE_LENGTH_MAX: Final = 60
"""Of one field in a line. `events show` has all of it."""


def line(record: Record) -> str:
    """`17  2026-03-01 12:00:00.000Z  volume/production/pgdata  volume.mounted  mountpoint=/…  (op-… mount)`."""
    event, about = record.event, ""
    if isinstance(event, FactMirrored):
        about, event = f"fact {event.position}: ", event.fact
    fields = " ".join(f"{name}={_short(value)}" for name, value in event_to_display(event).items())
    by = " ".join(str(each) for each in (record.operation_id, record.step) if each)
    words = (
        f"{record.seq:>6}",
        human.when_exactly(record.at_ms),
        record.stream,
        f"{about}{event.event_name}",
        fields,
        f"({by})" if by else "",
    )
    return "  ".join(word for word in words if word)


def render(record: Record) -> Iterator[Block]:
    yield Fields(
        (
            ("seq", str(record.seq)),
            ("at", human.when_exactly(record.at_ms)),
            ("stream", record.stream),
            ("event", name(record.event)),
            ("operation", record.operation_id or ""),
            ("step", record.step or ""),
            ("hash", record.hash.hex()),
        )
    )
    yield Heading("Payload")
    yield Lines.of(json.dumps(event_to_display(record.event), indent=2, ensure_ascii=False).splitlines(), indent=2)


def name(event: Event) -> str:
    return f"{event.event_name}/{event.event_version}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    text = text.replace("\n", "\\n")
    return text if len(text) <= VALUE_LENGTH_MAX else f"{text[: VALUE_LENGTH_MAX - 1]}…"
