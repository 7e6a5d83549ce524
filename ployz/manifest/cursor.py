"""A place in the raw tree: its path, what stands there, and where to say that it is wrong.

A cursor is *lost* when what should stand there does not. Everything below a lost cursor reads as a stand-in, in
silence: one mistake is one line, and reading goes on to the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from typing import Final

from attrs import evolve, frozen

from ployz.manifest.mistakes import Mistake, Mistakes, did_you_mean

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_KEY_SHOWN_MAX = 64
_KINDS = {
    dict: "a table",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "an integer",
    float: "a number that is no integer",
    type(None): "null",
    datetime: "a date",
    date: "a date",
    time: "a time",
}


class _Lost:
    """Nothing that can be read stands here, and that has been said."""


_LOST: Final = _Lost()


class RepeatingObject(dict[str, object]):
    """A JSON object that gives a key more than once; the last one counts until the mistake is told."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: Sequence[tuple[str, object]], repeated: tuple[str, ...]) -> None:
        super().__init__(pairs)
        self.repeated = repeated


def kind_of(value: object) -> str:
    """`a table`, `text`, …: what a mistake calls the value. The value itself may be a secret or a megabyte."""
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "something else")


@frozen
class Cursor:
    path: str
    value: object
    mistakes: Mistakes

    def wrong(self, text: str) -> None:
        self.mistakes.add(Mistake(self.path, text))

    def lost(self) -> Cursor:
        return evolve(self, value=_LOST)

    @property
    def is_lost(self) -> bool:
        return self.value is _LOST

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def key(self, key: str) -> Cursor:
        """Lost if the key is not there."""
        shown = key if _BARE_KEY.match(key) else json.dumps(key)
        if len(shown) > _KEY_SHOWN_MAX:
            shown = shown[:_KEY_SHOWN_MAX] + "…"
        value = self.value[key] if isinstance(self.value, dict) and key in self.value else _LOST
        return Cursor(f"{self.path}.{shown}" if self.path else shown, value, self.mistakes)

    def table(self, known: Sequence[str] | None) -> Cursor:
        """This cursor if it stands on a table, else a lost one. Keys not in `known` (None: any) are mistakes."""
        if not isinstance(self.value, dict):
            self._refuse("a table")
            return self.lost()
        for key in self.value.repeated if isinstance(self.value, RepeatingObject) else ():
            self.key(key).wrong("is given more than once")
        for key in self.value if known is not None else ():
            if key not in (known or ()):
                self.key(key).wrong(f"is no key here{did_you_mean(key, known or ())}")
        return self

    def pairs(self, at_most: int) -> Iterator[tuple[str, Cursor]]:
        """Every key of a table of any keys, in order, with the cursor of its value."""
        table = self.table(None)
        keys: Sequence[str] = list(table.value) if isinstance(table.value, dict) else ()
        self._bound(len(keys), at_most)
        return ((key, table.key(key)) for key in keys[:at_most])

    def items(self, at_most: int) -> Iterator[Cursor]:
        """A cursor for each element of a list."""
        if not isinstance(self.value, list):
            self._refuse("a list")
            return iter(())
        self._bound(len(self.value), at_most)
        return (
            Cursor(f"{self.path}[{index}]", value, self.mistakes) for index, value in enumerate(self.value[:at_most])
        )

    def _refuse(self, wanted: str) -> None:
        if not self.is_lost:
            self.wrong(f"is {wanted}, not {kind_of(self.value)}")

    def _bound(self, count: int, at_most: int) -> None:
        if count > at_most:
            self.wrong(f"has at most {at_most} entries, not {count}")
