"""A class's reader as one function, compiled when it is first asked for: the ordinary hooks, called only where needed.

A value that is obviously right (a `str` where a `str` belongs) is taken in line. Whatever is not goes to the hook that
cattrs would have called for it, so that nothing is decided here: what is refused, and in which words, is the hooks'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import attrs
from attrs import define, field
from cattrs import Converter

from ployz.strict.collections import Structure

Inline = Callable[["Source", str, Any, Structure], Iterator[str]]
"""Lines that leave in the named variable what its ordinary hook would have made of it, for values of one type."""


@define
class Source:
    """The names that compiled lines refer to."""

    scope: dict[str, Any] = field(factory=dict)

    def name(self, value: object) -> str:
        name = f"_{len(self.scope)}"
        self.scope[name] = value
        return name


def compile_class(cls: type, converter: Converter, ordinary: Structure, inline: dict[Any, Inline]) -> Structure:
    """Gives what `ordinary` gives, and refuses what it refuses. `inline`: by the hook that a field's type has."""
    attrs.resolve_types(cls)
    fields = [each for each in attrs.fields(cls) if each.init]
    source = Source()
    lines = [
        "def read(plain, cls):",
        # Fields that are absent, or unknown: which of them are allowed is not decided here.
        f"    if type(plain) is not dict or len(plain) != {len(fields)}:",
        f"        return {source.name(ordinary)}(plain, cls)",
    ]
    for number, each in enumerate(fields):
        lines.append(f"    v{number} = plain[{each.name!r}]")
        lines += (f"    {line}" for line in _lines(source, f"v{number}", each.type, converter, inline))
    by_place = [f"v{number}" for number, each in enumerate(fields) if not each.kw_only]
    by_name = [f"{each.alias}=v{number}" for number, each in enumerate(fields) if each.kw_only]
    lines.append(f"    return {source.name(cls)}({', '.join(by_place + by_name)})")
    exec("\n".join(lines), source.scope)  # noqa: S102 - made of the names of our own classes' fields, as attrs does
    read: Structure = source.scope["read"]
    return read


def _lines(source: Source, value: str, kind: Any, converter: Converter, inline: dict[Any, Inline]) -> Iterator[str]:
    if (some := _optional(kind)) is not None:
        yield f"if {value} is not None:"
        yield from (f"    {line}" for line in _lines(source, value, some, converter, inline))
        return
    hook = converter.get_structure_hook(kind)
    if hook in inline:
        yield from inline[hook](source, value, kind, hook)
    elif get_origin(kind) is tuple and get_args(kind)[1:] == (...,):
        item = get_args(kind)[0]
        each = f"{source.name(converter.get_structure_hook(item))}(each, {source.name(item)})"
        ordinary = f"{source.name(hook)}({value}, {source.name(kind)})"
        yield f"{value} = tuple([{each} for each in {value}]) if type({value}) is list else {ordinary}"
    else:
        yield f"{value} = {source.name(hook)}({value}, {source.name(kind)})"


def _optional(kind: Any) -> Any:
    """`T` of `T | None`; None: it is no such kind."""
    members = get_args(kind)
    if get_origin(kind) not in (UnionType, Union) or NoneType not in members or len(members) != 2:  # noqa: PLR2004
        return None
    return next(each for each in members if each is not NoneType)


# ---------------------------------------------------------------- what is obviously right


def unless(condition: str) -> Inline:
    """Taken as it is unless `condition`, of which `{0}` is the value."""

    def lines(source: Source, value: str, kind: Any, hook: Structure) -> Iterator[str]:
        yield f"if {condition.format(value)}:"
        yield f"    {value} = {source.name(hook)}({value}, {source.name(kind)})"

    return lines


def member(source: Source, value: str, kind: type[StrEnum], hook: Structure) -> Iterator[str]:
    members = source.name({str(each): each for each in kind}.get)
    yield f"{value} = type({value}) is str and {members}({value}) or {source.name(hook)}({value}, {source.name(kind)})"


def cached(of: Callable[[Any], Callable[[str], object]], length_max: int) -> Inline:
    """Text that the function for its type may have made before."""

    def lines(source: Source, value: str, kind: Any, hook: Structure) -> Iterator[str]:
        yield f"if type({value}) is str and len({value}) <= {length_max}:"
        yield f"    {value} = {source.name(of(kind))}({value})"
        yield "else:"
        yield f"    {value} = {source.name(hook)}({value}, {source.name(kind)})"

    return lines
