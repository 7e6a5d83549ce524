"""Values to plain data and back, refusing everything that is not exactly right.

The one set of rules for stored events and for messages; it knows no event and no message. Plain data is what
msgpack holds: None, bool, int, float, str, bytes, list and dict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import attrs
import msgpack  # type: ignore[import-untyped]  # ships no types; nothing else imports it
from cattrs import AttributeValidationNote, Converter, IterableValidationNote
from cattrs.cols import is_mapping, list_structure_factory, mapping_structure_factory, mapping_unstructure_factory
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from ployz.errors import PloyzError
from ployz.ids import Name, ServiceRef, SlotRef, VolumeRef

INT_MIN, INT_MAX = -(2**63), 2**64 - 1
"""What a msgpack integer can be; ZFS guids need the whole upper half."""

T = TypeVar("T")
Structure = Callable[[Any, Any], Any]
Unstructure = Callable[[Any], Any]


class Malformed(ValueError):
    """Data that is not what it was offered as. `str(error)` lists what is wrong: `path: text; path: text`."""


def pack(plain: object) -> bytes:
    """Msgpack, the same bytes for the same data. `Malformed` for what msgpack cannot hold."""
    try:
        return bytes(msgpack.packb(plain, use_bin_type=True))
    except (ValueError, TypeError, OverflowError) as error:
        raise Malformed(f"cannot be packed: {error}") from error


def unpack(data: bytes, *, limit_bytes: int) -> Any:
    """Plain data from exactly one msgpack value. `Malformed` for anything else, before much is allocated.

    No string, list or map can claim more than the bytes that are there, and msgpack bounds the nesting itself.
    """
    if len(data) > limit_bytes:
        raise Malformed(f"{len(data)} bytes, and the limit is {limit_bytes}")
    try:
        return msgpack.unpackb(data, raw=False, use_list=True, max_ext_len=0)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise Malformed(f"not msgpack: {str(error) or type(error).__name__}") from error


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


def leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def mistakes(error: Exception, path: str = "") -> Iterator[str]:
    """The nested errors of cattrs as flat lines, `slots[0].ipv6: missing`."""
    if not isinstance(error, BaseValidationError):
        yield f"{path or 'value'}: {_words(error)}"
        return
    for inner in error.exceptions:
        yield from mistakes(inner, path + _step(inner, at_root=not path))


def _step(error: Exception, *, at_root: bool) -> str:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return note.name if at_root else f".{note.name}"
        if isinstance(note, IterableValidationNote):
            return f"[{note.index!r}]"
    return ""


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "missing"
    if isinstance(error, ForbiddenExtraKeysError):
        return f"unknown {', '.join(sorted(map(repr, error.extra_fields)))}"
    return str(error) or type(error).__name__


def make_converter() -> Converter:
    """A new strict converter; the caller may add hooks for its own types.

    - A scalar is exactly its own type: `"3"`, `True`, `3.0` and `b"3"` are no int. Floats are finite, ints 64 bits.
    - A class is a dict with exactly its fields; fields with a default may be absent.
    - Names are made by their constructors; references are text, `production/db/slot-1`.
    - `tuple[T, ...]` and `Sequence[T]` are lists and become tuples; a frozenset is a sorted list without repetition.
    - A union of attrs classes is `[class name, fields]`: its members are a closed set that both sides know.
    """
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    _add_scalars(converter)
    _add_names(converter)
    _add_collections(converter)
    _add_classes(converter)
    return converter


# ---------------------------------------------------------------- scalars


def _add_scalars(converter: Converter) -> None:
    for scalar in (bool, bytes):
        converter.register_structure_hook(scalar, _exactly(scalar))
    converter.register_structure_hook(str, _exactly(str))
    # A name or a code in a field that says `str` becomes plain text; a wrong type is left for the reader to refuse.
    converter.register_unstructure_hook(str, lambda value: str(value) if isinstance(value, str) else value)
    converter.register_structure_hook(int, _int)
    converter.register_structure_hook(float, _float)
    converter.register_unstructure_hook(float, lambda value: float(value) if type(value) is int else value)
    converter.register_structure_hook(StrEnum, _enum_member)


def _exactly(scalar: type[Any]) -> Callable[[object, Any], Any]:
    def check(value: object, _: Any) -> object:
        if type(value) is not scalar:
            raise Malformed(f"{_kind(value)} where {_article(scalar)} belongs")
        return value

    return check


def _int(value: object, _: Any) -> int:
    if type(value) is not int:
        raise Malformed(f"{_kind(value)} where an int belongs")
    if not INT_MIN <= value <= INT_MAX:
        raise Malformed("an int that needs more than 64 bits")
    return value


def _float(value: object, _: Any) -> float:
    if type(value) is not float:
        raise Malformed(f"{_kind(value)} where a float belongs")
    if not math.isfinite(value):
        raise Malformed(f"{value} is no finite number")
    return value


def _enum_member(value: object, cls: type[StrEnum]) -> StrEnum:
    if type(value) is not str:
        raise Malformed(f"{_kind(value)} where a str belongs")
    return cls(value)


def _kind(value: object) -> str:
    return "nothing" if value is None else _article(type(value))


def _article(cls: type) -> str:
    return f"{'an' if cls is int else 'a'} {cls.__name__}"


# ---------------------------------------------------------------- names and references


def _add_names(converter: Converter) -> None:
    # By class, so that it beats the hook of `str`: cattrs takes the hook of the nearest base.
    converter.register_structure_hook(Name, _name)
    for reference in (ServiceRef, VolumeRef, SlotRef):
        converter.register_structure_hook(reference, _reference)
        converter.register_unstructure_hook(reference, _text_of_reference)


def _name(value: object, cls: type[Name]) -> Name:
    if type(value) is not str:
        raise Malformed(f"{_kind(value)} where a {cls.kind} belongs")
    return cls(value)


def _reference(value: object, cls: type[Any]) -> Any:
    if type(value) is not str:
        raise Malformed(f"{_kind(value)} where a {cls.__name__} belongs")
    return cls.parse(value)


def _text_of_reference(value: object) -> object:
    return str(value) if isinstance(value, ServiceRef | VolumeRef | SlotRef) else value


# ---------------------------------------------------------------- collections


def _add_collections(converter: Converter) -> None:
    kinds: tuple[tuple[Callable[[Any], bool], Any, Any], ...] = (
        (lambda cls: get_origin(cls) is list, _structure_list, _unstructure_items),
        (_is_sequence, _structure_sequence, _unstructure_items),
        (_is_tuple_by_place, _structure_tuple, _unstructure_tuple),
        (lambda cls: get_origin(cls) is frozenset, _structure_frozenset, _unstructure_frozenset),
        (is_mapping, _structure_mapping, _unstructure_mapping),
    )
    for predicate, structuring, unstructuring in kinds:
        converter.register_structure_hook_factory(predicate, structuring)
        converter.register_unstructure_hook_factory(predicate, unstructuring)


def _is_sequence(cls: Any) -> bool:
    return get_origin(cls) is Sequence or (get_origin(cls) is tuple and get_args(cls)[-1:] == (...,))


def _is_tuple_by_place(cls: Any) -> bool:
    return get_origin(cls) is tuple and not _is_sequence(cls)


def _only(shape: type, hook: Structure) -> Structure:
    """Without this, cattrs iterates over anything that iterates: a str would pass as a list of str."""

    def check(value: object, cls: Any) -> Any:
        if type(value) is not shape:
            raise Malformed(f"{_kind(value)} where {_article(shape)} belongs")
        return hook(value, cls)

    return check


def _structure_list(cls: Any, converter: Converter) -> Structure:
    return _only(list, list_structure_factory(cls, converter))


def _structure_sequence(cls: Any, converter: Converter) -> Structure:
    items = _structure_list(cls, converter)
    return lambda value, kind: tuple(items(value, kind))


def _structure_frozenset(cls: Any, converter: Converter) -> Structure:
    items = _structure_list(cls, converter)

    def hook(value: object, kind: Any) -> frozenset[Any]:
        members = items(value, kind)
        found = frozenset(members)
        if len(found) != len(members):
            raise Malformed("a member is there twice")
        return found

    return hook


def _structure_tuple(cls: Any, converter: Converter) -> Structure:
    places = [(converter.get_structure_hook(kind), kind) for kind in get_args(cls)]

    def hook(value: list[object], _: Any) -> tuple[Any, ...]:
        if len(value) != len(places):
            raise Malformed(f"{len(value)} items where {len(places)} belong")
        return tuple(structure(item, kind) for item, (structure, kind) in zip(value, places, strict=True))

    return _only(list, hook)


def _structure_mapping(cls: Any, converter: Converter) -> Structure:
    return _only(dict, mapping_structure_factory(cls, converter))


def _unstructure_items(cls: Any, converter: Converter) -> Unstructure:
    item = converter.get_unstructure_hook(get_args(cls)[0])
    return lambda value: [item(each) for each in value]


def _unstructure_tuple(cls: Any, converter: Converter) -> Unstructure:
    places = [converter.get_unstructure_hook(kind) for kind in get_args(cls)]
    return lambda value: [unstructure(each) for unstructure, each in zip(places, value, strict=True)]


def _unstructure_frozenset(cls: Any, converter: Converter) -> Unstructure:
    items = _unstructure_items(cls, converter)
    return lambda value: sorted(items(value))


def _unstructure_mapping(cls: Any, converter: Converter) -> Unstructure:
    hook = mapping_unstructure_factory(cls, converter, unstructure_to=dict)
    # In the order of the keys: equal values have equal bytes.
    return lambda value: dict(sorted(hook(value).items()))


# ---------------------------------------------------------------- classes and unions of them


def _add_classes(converter: Converter) -> None:
    converter.register_structure_hook_factory(_is_class, _structure_class)
    converter.register_structure_hook_factory(_is_union, _structure_union)
    converter.register_unstructure_hook_factory(_is_union, _unstructure_union)


def _is_class(cls: Any) -> bool:
    return isinstance(cls, type) and attrs.has(cls) and cls not in (ServiceRef, VolumeRef, SlotRef)


def _structure_class(cls: Any, converter: Converter) -> Structure:
    return _only(dict, make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True))


def _members(cls: Any) -> list[Any]:
    return [member for member in get_args(cls) if member is not NoneType]


def _is_union(cls: Any) -> bool:
    return isinstance(cls, UnionType) and len(_members(cls)) > 1 and all(map(_is_class, _members(cls)))


def _structure_union(cls: Any, converter: Converter) -> Structure:
    hooks = {member.__name__: (converter.get_structure_hook(member), member) for member in _members(cls)}

    def hook(value: list[object], _: Any) -> Any:
        match value:
            case [str(tag), fields] if tag in hooks:
                structure, member = hooks[tag]
                return structure(fields, member)
            case [str(tag), _]:
                raise Malformed(f"{tag!r} is none of {', '.join(hooks)}")
            case _:
                raise Malformed("not [class name, fields]")

    checked = _only(list, hook)
    if NoneType not in get_args(cls):
        return checked
    return lambda value, kind: None if value is None else checked(value, kind)


def _unstructure_union(cls: Any, converter: Converter) -> Unstructure:
    hooks = {member: converter.get_unstructure_hook(member) for member in _members(cls)}
    return lambda value: None if value is None else [type(value).__name__, hooks[type(value)](value)]
