"""Tables of known keys: which key spells which attribute, and values that are spelled in one of several ways.

Keys that no part knows are mistakes; keys whose attribute has a default may be left out, and are when written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from attrs import NOTHING, Factory, field, fields, frozen

from ployz.manifest.cursor import Cursor, kind_of
from ployz.manifest.mistakes import did_you_mean
from ployz.manifest.shapes import Raw, Shape

T = TypeVar("T")


class Part(Protocol):
    """Some keys of a table, and the attributes of the model that they spell."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    def read(self, at: Cursor, defaults: Mapping[str, object]) -> dict[str, object]: ...

    def write(self, value: object, defaults: Mapping[str, object]) -> dict[str, Raw]: ...


@frozen
class Field:
    """One key, one attribute. It may be left out, and is when written, if the attribute has a default."""

    key: str
    shape: Shape[Any]
    attribute: str = field()

    @attribute.default
    def _same_name(self) -> str:
        return self.key

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def read(self, at: Cursor, defaults: Mapping[str, object]) -> dict[str, object]:
        if not at.has(self.key):
            if self.attribute in defaults:
                return {}
            if not at.is_lost:
                at.key(self.key).wrong("is missing")
        return {self.attribute: self.shape.read(at.key(self.key))}

    def write(self, value: object, defaults: Mapping[str, object]) -> dict[str, Raw]:
        inner = getattr(value, self.attribute)
        if self.attribute in defaults and inner == defaults[self.attribute]:
            return {}
        return {self.key: self.shape.write(inner)}


@frozen
class Within:
    """Attributes of this value that are spelled in a table of their own: `move = { to_machine = … }`."""

    key: str
    parts: tuple[Part, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def read(self, at: Cursor, defaults: Mapping[str, object]) -> dict[str, object]:
        here = at.key(self.key)
        if here.is_lost and not at.is_lost:
            here.wrong("is missing")
        return _read_parts(self.parts, here, defaults)

    def write(self, value: object, defaults: Mapping[str, object]) -> dict[str, Raw]:
        return {self.key: _write_parts(self.parts, value, defaults)}


@frozen
class Case:
    """One way to be: the key that says so, the class it makes, and the shape of what stands under the key."""

    key: str
    makes: type
    shape: Shape[Any]


@frozen
class Variant:
    """One attribute, spelled by exactly one of several keys: `tcp = …` or `http = …`."""

    attribute: str
    cases: tuple[Case, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(case.key for case in self.cases)

    def read(self, at: Cursor, _defaults: Mapping[str, object]) -> dict[str, object]:
        return {self.attribute: self.read_case(at)}

    def write(self, value: object, _defaults: Mapping[str, object]) -> dict[str, Raw]:
        return self.write_case(getattr(value, self.attribute))

    def read_case(self, at: Cursor) -> object:
        given = [case for case in self.cases if at.has(case.key)]
        if len(given) != 1 and not at.is_lost:
            at.wrong(f"has exactly one of {', '.join(self.keys)}, not {' and '.join(c.key for c in given) or 'none'}")
        case = given[0] if given else self.cases[0]
        return case.shape.read(at.key(case.key))

    def write_case(self, value: object) -> dict[str, Raw]:
        case = next(case for case in self.cases if isinstance(value, case.makes))
        return {case.key: case.shape.write(value)}


class OneOf(Generic[T]):
    """A value that is a word, or a table with exactly one of several keys: `"tmpfs"` or `{ volume = … }`."""

    def __init__(self, *cases: Case, words: Mapping[str, T] | None = None) -> None:
        self._variant = Variant("", cases)
        self._words = dict(words or {})

    def read(self, at: Cursor) -> T:
        if isinstance(at.value, str) and at.value in self._words:
            return self._words[at.value]
        if self._words and not isinstance(at.value, dict) and not at.is_lost:
            at.wrong(f"is {self._choices()}, not {self._said(at.value)}")
            at = at.lost()
        value: Any = self._variant.read_case(at.table(self._variant.keys))
        return value  # type: ignore[no-any-return]  # the cases make what T says

    def write(self, value: T) -> Raw:
        for word, meaning in self._words.items():
            if meaning == value:
                return word
        return self._variant.write_case(value)

    def _choices(self) -> str:
        return " or ".join(
            [*(f'"{word}"' for word in self._words), *(f"{{ {key} = … }}" for key in self._variant.keys)]
        )

    def _said(self, value: object) -> str:
        if not isinstance(value, str):
            return kind_of(value)
        return f"{value[:32]!r}{did_you_mean(value, tuple(self._words))}"


class Table(Generic[T]):
    """A table of known keys that spells one attrs class. Attributes with a default are optional keys."""

    def __init__(self, makes: Callable[..., T], *parts: Part) -> None:
        self._makes = makes
        self._parts = parts
        self._defaults = _defaults_of(makes)

    def read(self, at: Cursor) -> T:
        return self._makes(**_read_parts(self._parts, at, self._defaults))

    def write(self, value: T) -> dict[str, Raw]:
        return _write_parts(self._parts, value, self._defaults)


def _read_parts(parts: tuple[Part, ...], at: Cursor, defaults: Mapping[str, object]) -> dict[str, object]:
    table = at.table([key for part in parts for key in part.keys])
    return {name: value for part in parts for name, value in part.read(table, defaults).items()}


def _write_parts(parts: tuple[Part, ...], value: object, defaults: Mapping[str, object]) -> dict[str, Raw]:
    return {key: raw for part in parts for key, raw in part.write(value, defaults).items()}


def _defaults_of(makes: Any) -> dict[str, object]:
    """What each optional attribute is when nothing was said."""
    return {
        each.name: each.default.factory() if isinstance(each.default, Factory) else each.default  # type: ignore[arg-type]  # attrs types it as a function
        for each in fields(makes)
        if each.default is not NOTHING
    }
