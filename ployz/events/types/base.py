"""What an event is, and the vocabulary that every kind of event enters under a name that never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar


class Event:
    """Base of every event. `event_name` and `event_version` are how it is stored."""

    event_name: ClassVar[str] = ""
    event_version: ClassVar[int] = 0


class Fact(Event):
    """An event that is committed to the cluster's fact log, and reaches a machine's own log inside FactMirrored."""


E = TypeVar("E", bound=type[Event])

_VOCABULARY: dict[tuple[str, int], type[Event]] = {}


def event(name: str, version: int) -> Callable[[E], E]:
    """Enters a class into the vocabulary under its stored name."""

    def enter(cls: E) -> E:
        if (name, version) in _VOCABULARY:
            raise AssertionError(f"{name}/{version} is in the vocabulary twice")
        cls.event_name = name
        cls.event_version = version
        _VOCABULARY[name, version] = cls
        return cls

    return enter


def vocabulary() -> Mapping[tuple[str, int], type[Event]]:
    """Every class by (name, version)."""
    return dict(_VOCABULARY)
