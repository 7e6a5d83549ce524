"""Shapes: how a value of the model is spelled in a raw tree, read and written by one description.

Here are single values, lists, and maps of the user's keys; `tables` has those whose keys are known.

Reading never fails and never stops: what is wrong is told to the cursor, and a stand-in takes its place, so that
the model is whole and `check` can look at all of it. A manifest with a mistake is never handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from attrs import frozen

from ployz.ids import InvalidName
from ployz.manifest.cursor import Cursor
from ployz.manifest.quantities import InvalidQuantity

T = TypeVar("T")

Raw = object
"""What TOML and JSON have in common: dict, list, str, int, bool."""


class Unfit(ValueError):
    """A raw value that is not what its place wants. `str(error)` completes "PATH: "."""


class Shape(Protocol[T]):
    def read(self, at: Cursor) -> T: ...

    def write(self, value: T) -> Raw: ...


@frozen
class Leaf(Generic[T]):
    """One value. `parse` raises `Unfit`, `InvalidName` or `InvalidQuantity`."""

    parse: Callable[[Raw], T]
    spell: Callable[[T], Raw]
    stand_in: T

    def read(self, at: Cursor) -> T:
        if at.is_lost:
            return self.stand_in
        try:
            return self.parse(at.value)
        except (Unfit, InvalidName, InvalidQuantity) as error:
            at.wrong(str(error))
            return self.stand_in

    def write(self, value: T) -> Raw:
        return self.spell(value)


@frozen
class ListOf(Generic[T]):
    element: Shape[T]
    at_most: int
    at_least: int = 0

    def read(self, at: Cursor) -> tuple[T, ...]:
        if isinstance(at.value, list) and len(at.value) < self.at_least:
            at.wrong("is not empty" if self.at_least == 1 else f"has at least {self.at_least} entries")
        return tuple(self.element.read(each) for each in at.items(self.at_most))

    def write(self, value: tuple[T, ...]) -> Raw:
        return [self.element.write(each) for each in value]


@frozen
class MapOf(Generic[T]):
    """A table whose keys are the user's. Written in order of the keys: equal maps are written equally."""

    check_key: Callable[[str], object]
    """Raises `Unfit`."""
    element: Shape[T]
    at_most: int

    def read(self, at: Cursor) -> Mapping[str, T]:
        values = {}
        for key, here in at.pairs(self.at_most):
            try:
                self.check_key(key)
            except Unfit as error:
                here.wrong(str(error))
            else:
                values[key] = self.element.read(here)
        return values

    def write(self, value: Mapping[str, T]) -> Raw:
        return {key: self.element.write(value[key]) for key in sorted(value)}
