"""What happened in one run, in order, and how it reads: who, when, what. Cheap to keep, dear only to print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import anyio
from attrs import define, field, frozen

from ployz.events.display import event_to_display
from ployz.events.log import Entry
from ployz.events.types import Event, FactMirrored
from ployz.facts.port import SequencedFact, Transaction
from tests.cluster.effects import Effect

QUIET: Final = frozenset(
    [
        "log.read",
        "log.rows",
        "log.find",
        "log.of_operation",
        "facts.read",
        "facts.facts",
        "facts.list",
        "facts.keep_alive",
        "zfs.state",
        "zfs.children",
        "zfs.holders",
        "zfs.pool_space",
        "zfs.features",
        "zfs.sweep",
        "docker.containers",
        "docker.inspect",
        "docker.version",
        "docker.image",
        "docker.logs",
        "docker.ended",
        "folders.ensure",
        "folders.own",
        "overlay.public_key",
        "overlay.up",
        "guards.until_s",
        "compactions.piece",
        "compactions.read",
        "compactions.write",
        "snapshots.read",
        "snapshots.write",
        "docker.ensure_network",
        "looks.tcp_answers",
    ]
)
"""Effects that only look, which the story leaves out."""
VALUE_LENGTH_MAX: Final = 48


@frozen
class Line:
    at_s: float
    step: int
    who: str
    what: Any
    """A text, an effect that was done, an entry, or a fact: made readable when it is printed."""


@define(eq=False)
class History:
    lines: list[Line] = field(factory=list)
    step: int = 0
    """Effects so far, before and after counted apart."""

    def tell(self, who: str, what: Any) -> None:
        self.lines.append(Line(anyio.current_time(), self.step, who, what))

    def effect(self, effect: Effect) -> None:
        self.step += 1
        if not effect.done or effect.name in QUIET:
            return
        if effect.name == "log.append":
            for entry in effect.args[0]:
                self.tell(effect.machine, entry)
        else:
            self.tell(effect.machine, effect)

    def fact(self, fact: SequencedFact) -> None:
        self.tell("facts", fact)

    def __str__(self) -> str:
        return "\n".join(text for line in self.lines for text in _texts(line))


def _texts(line: Line) -> Iterator[str]:
    match line.what:
        case Entry(event=FactMirrored() as mirrored):
            text = f"  mirrors fact {mirrored.position}: {mirrored.fact.event_name}"
        case Entry(stream, event, operation_id, step):
            by = " ".join(str(each) for each in (operation_id, step) if each)
            text = f"log {stream}: {_event(event)}" + (f" ({by})" if by else "")
        case SequencedFact(position=position, fact=fact):
            text = f"FACT {position}: {_event(fact)}"
        case Effect(name=name, args=args):
            # A function's text has its address, which is another one in each process.
            text = f"{name} {' '.join(_argument(each) for each in args if not callable(each))}"
        case other:
            text = str(other)
    first, *rest = _short_ids(text).split("\n")
    yield f"{line.at_s:10.4f} s {line.step:6d}  {line.who:<10} {first}"
    yield from (f"{'':31}{each}" for each in rest)


def _event(event: Event) -> str:
    fields = " ".join(f"{name}={_value(value)}" for name, value in event_to_display(event).items())
    return f"{event.event_name} {fields}"


def _argument(value: Any) -> str:
    match value:
        case Transaction(compares, puts, facts):
            keys = " ".join(each.key for each in puts)
            names = " ".join(each.event_name for each in facts)
            return f"if {len(compares)} compares: put {keys} {names}".rstrip()
        case _:
            return _value(value)


def _value(value: Any) -> str:
    text = str(getattr(value, "name", value) if not isinstance(value, str) else value).replace("\n", "\\n")
    return text if len(text) <= VALUE_LENGTH_MAX else f"{text[: VALUE_LENGTH_MAX - 1]}…"


def _short_ids(text: str) -> str:
    """`op-…3f2a`: the end of an operation's id tells two of one run apart."""
    return re.sub(r"op-[0-9a-z]{10,}", lambda found: f"op-…{found[0][-4:]}", text)
