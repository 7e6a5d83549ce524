"""The strict converter: what a scalar, a name and a reference are, and how a whole value is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final, TypeVar

from cattrs import Converter

from ployz.errors import PloyzError
from ployz.ids import NAME_LENGTH_MAX, Name, SecretRef, ServiceRef, SlotRef, VolumeRef
from ployz.strict.classes import add_classes
from ployz.strict.collections import Structure, add_collections
from ployz.strict.compiled import Inline, cached, member, unless
from ployz.strict.malformed import Malformed, leaves, misplaced, mistakes, name_of

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1
"""What a msgpack integer can be; ZFS guids need the whole upper half."""

T = TypeVar("T")


NAMES_KNOWN: Final = 1 << 16
"""A history says the same names over and over: each is checked once, and is one object in memory, while it is among
the last so many of its class."""


def make_converter(*, detailed: bool = True) -> Converter:
    """A new strict converter; the caller may add hooks for its own types, before it is first used. Not `detailed`: it
    refuses the same, and is faster, and does not say where the mistakes are.

    - A scalar is exactly its own type: `"3"`, `True`, `3.0` and `b"3"` are no int. Floats are finite, ints 64 bits.
    - A class is a dict with exactly its fields; fields with a default may be absent.
    - Names are made by their constructors; references are text, `production/db/slot-1`.
    - `tuple[T, ...]` and `Sequence[T]` are lists and become tuples; a frozenset is a sorted list without repetition.
    - A union of attrs classes is `[class name, fields]`: its members are a closed set that both sides know.
    """
    converter = Converter(forbid_extra_keys=True, detailed_validation=detailed)
    _add_scalars(converter)
    _add_names(converter)
    add_collections(converter)
    add_classes(converter, None if detailed else _INLINE)
    return converter


def structure(converter: Converter, plain: object, cls: type[T]) -> T:
    """The value, or `Malformed` with every mistake in it and its path. `plain` may come from anywhere.

    A `PloyzError` of a hook says more than "malformed" (an unknown event inside a message): it is passed on.
    """
    try:
        return converter.structure(plain, cls)
    except Exception as error:
        # Constructors and validators of the values raise what they like: here all of it means "bad data".
        for each in leaves(error):
            if isinstance(each, PloyzError):
                raise each from error
        raise Malformed("; ".join(mistakes(error))) from error


def _add_scalars(converter: Converter) -> None:
    for scalar, exactly in _EXACTLY.items():
        converter.register_structure_hook(scalar, exactly)
    # A name or a code in a field that says `str` becomes plain text; a wrong type is left for the reader to refuse.
    converter.register_unstructure_hook(str, lambda value: str(value) if isinstance(value, str) else value)
    converter.register_structure_hook(int, _int)
    converter.register_structure_hook(float, _float)
    converter.register_unstructure_hook(float, lambda value: float(value) if type(value) is int else value)
    converter.register_structure_hook(StrEnum, _enum_member)


def _exactly(scalar: type[Any]) -> Structure:
    def check(value: object, _: Any) -> object:
        if type(value) is not scalar:
            raise misplaced(value, name_of(scalar))
        return value

    return check


_EXACTLY: Final = {scalar: _exactly(scalar) for scalar in (bool, bytes, str)}


def _int(value: object, _: Any) -> int:
    if type(value) is not int:
        raise misplaced(value, "an int")
    if not INT_MIN <= value <= INT_MAX:
        raise Malformed("an int that needs more than 64 bits")
    return value


def _float(value: object, _: Any) -> float:
    if type(value) is not float:
        raise misplaced(value, "a float")
    if not math.isfinite(value):
        raise Malformed(f"{value} is no finite number")
    return value


def _enum_member(value: object, cls: type[StrEnum]) -> StrEnum:
    if type(value) is not str:
        raise misplaced(value, "a str")
    return cls(value)


def _add_names(converter: Converter) -> None:
    # By class, so that it beats the hook of `str`: cattrs takes the hook of the nearest base.
    converter.register_structure_hook(Name, _name)
    for reference in _REFERENCES:
        converter.register_structure_hook(reference, _reference)
        converter.register_unstructure_hook(reference, _text_of_reference)


def _name(value: object, cls: type[Name]) -> Name:
    if type(value) is not str:
        raise misplaced(value, f"a {cls.kind}")
    # Certificates and sealed values are long, and strangers send them: they are not kept.
    return _known(cls)(value) if len(value) <= NAME_LENGTH_MAX else cls(value)


@cache
def _known(cls: type[Name]) -> Callable[[str], Name]:
    return lru_cache(NAMES_KNOWN)(cls)


_Reference = ServiceRef | VolumeRef | SecretRef | SlotRef
_REFERENCES: Final[tuple[type[_Reference], ...]] = (ServiceRef, VolumeRef, SecretRef, SlotRef)
_PARSED: Final[dict[type[_Reference], Callable[[str], Any]]] = {
    cls: lru_cache(NAMES_KNOWN)(cls.parse) for cls in _REFERENCES
}


def _reference(value: object, cls: type[_Reference]) -> _Reference:
    if type(value) is not str:
        raise misplaced(value, f"a {cls.__name__}")
    parsed: _Reference = _PARSED[cls](value)
    return parsed


def _text_of_reference(value: object) -> object:
    return str(value) if isinstance(value, _Reference) else value


_INLINE: Final[dict[Any, Inline]] = {
    **{exactly: unless(f"type({{0}}) is not {scalar.__name__}") for scalar, exactly in _EXACTLY.items()},
    _int: unless(f"type({{0}}) is not int or not {INT_MIN} <= {{0}} <= {INT_MAX}"),
    _enum_member: member,
    _name: cached(_known, NAME_LENGTH_MAX),
    _reference: cached(_PARSED.__getitem__, NAME_LENGTH_MAX),
}
"""By the hook: what it takes as it is, or has made before. A hook of the caller's for the same type is not in it."""
