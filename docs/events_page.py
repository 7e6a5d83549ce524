"""The page about events: every one of the vocabulary, with its fields as they are stored and shown."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import attrs

from docs.told import about, about_attributes
from ployz.errors import Code
from ployz.events.types import Event, Fact, vocabulary
from ployz.ids import Name, ServiceRef, SlotRef, VolumeRef

WORDS: Final[dict[Any, str]] = {
    str: "text",
    int: "integer",
    bool: "true or false",
    bytes: "bytes, shown in hex",
    ServiceRef: "NAMESPACE/SERVICE",
    VolumeRef: "NAMESPACE/VOLUME",
    SlotRef: "NAMESPACE/SERVICE/SLOT",
    Code: "[error code](errors.md)",
    Fact: "any fact",
}


def events() -> str:
    return "\n".join([*_events(), ""])


def _events() -> Iterator[str]:
    classes = list(vocabulary().values())
    yield from (
        "# Events",
        "",
        "This page is generated from `ployz/events/types` by `docs/generate.py`.",
        "",
        "Every machine appends what happens on it to its own log. Each entry has a number (`seq`, gapless), a wall",
        "time, a stream, a name with a version, a payload, the operation and step it belongs to if there is one, and",
        "a hash over all of that and the entry before it. [The guide](../guides/events.md) shows how to read it.",
        "",
        "| stream | what is in it |",
        "|---|---|",
        "| `node` | starts of `ployzd` |",
        "| `facts` | the cluster's facts, in their order, as they reached this machine |",
        "| `operation/ID` | steps of one operation that belong to no single volume or service |",
        "| `volume/NAMESPACE/VOLUME` | one volume's dataset on this machine |",
        "| `service/NAMESPACE/SERVICE` | one service's gate, containers and addresses on this machine |",
        "",
        "## Facts",
        "",
        "Committed to the cluster's one fact log. Each machine copies them into its own log, each inside a",
        "`fact.mirrored`. Placement, ownership and routes follow from these and from nothing else.",
    )
    for fact in (each for each in classes if issubclass(each, Fact)):
        yield from _event(fact)
    yield from ("", "## Events of one machine", "", "What this machine did or saw. No other machine decides by them.")
    for cls in (each for each in classes if not issubclass(each, Fact)):
        yield from _event(cls)
    yield from ("", "## Values", "", "What fields of events are made of.")
    for value in _values(classes):
        yield from _section(value.__name__, value)


def _event(cls: type[Event]) -> Iterator[str]:
    yield from _section(f"{cls.event_name}/{cls.event_version}", cls)


def _section(title: str, cls: type) -> Iterator[str]:
    yield from ("", f"### {title}")
    if words := about(cls):
        yield from ("", words)
    yield from ("", "| field | value | meaning |", "|---|---|---|")
    meanings = about_attributes(cls)
    for name, kind in _fields(cls).items():
        yield f"| `{name}` | {_in_words(kind)} | {meanings[name]} |"


def _fields(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in attrs.fields(cls)}


def _in_words(kind: Any) -> str:
    if kind in WORDS:
        return WORDS[kind]
    if get_origin(kind) is tuple:
        return f"list of {_in_words(get_args(kind)[0])}"
    if isinstance(kind, UnionType):
        return " or ".join("none" if each is NoneType else _in_words(each) for each in get_args(kind))
    if issubclass(kind, Name):
        return str(kind.kind)
    if issubclass(kind, StrEnum):
        return " or ".join(f"`{each}`" for each in kind)
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def _values(classes: list[type[Event]]) -> list[type]:
    """Every class of values that the fields of these are made of, once, in order of their appearance."""
    found: dict[type, None] = {}
    pending: list[type] = list(classes)
    while pending:
        for kind in _fields(pending.pop(0)).values():
            for inner in get_args(kind) or (kind,):
                if attrs.has(inner) and inner not in WORDS and inner not in found:
                    found[inner] = None
                    pending.append(inner)
    return list(found)
