"""What is derived from a log, as bytes and back: so that a start need not read all of it again.

Never the truth, which is the log: bytes that are not exactly what the same ployz wrote are refused, and nothing is
lost.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, TypeVar, get_args, get_origin

from cattrs import Converter
from cattrs.cols import is_mapping

from ployz.strict import Malformed, make_converter, pack, structure, unpack
from ployz.strict.collections import Structure, Unstructure

T = TypeVar("T")
_DIGEST_BYTES: Final = 32


class Unusable(ValueError):
    """Another ployz made it, or it is damaged. `str(error)` says which, as the end of a sentence about it."""


def dump(derived: object, ployz: bytes) -> bytes:
    """`ployz`: 32 bytes that are different for every ployz that may derive or write it in another way."""
    body = pack(_CONVERTER.unstructure(derived))
    return ployz + hashlib.sha256(body).digest() + body


def load(data: bytes, kind: type[T], ployz: bytes) -> T:
    if data[:_DIGEST_BYTES] != ployz:
        raise Unusable("was made by another ployz")
    digest, body = data[_DIGEST_BYTES : 2 * _DIGEST_BYTES], data[2 * _DIGEST_BYTES :]
    if hashlib.sha256(body).digest() != digest:
        raise Unusable("is damaged")
    try:
        return structure(_CONVERTER, unpack(body, limit_bytes=len(body)), kind)
    except Malformed as error:
        raise Unusable(f"cannot be read: {error}") from error


# ---------------------------------------------------------------- what only projections have


def _make_converter() -> Converter:
    converter = make_converter(detailed=False)
    # Keys are not always text, and the order in which things came is part of a fold: neither survives as a map.
    converter.register_structure_hook_factory(is_mapping, _structure_mapping)
    converter.register_unstructure_hook_factory(is_mapping, _unstructure_mapping)
    converter.register_structure_hook_factory(_is_set, _structure_set)
    converter.register_unstructure_hook_factory(_is_set, _unstructure_set)
    converter.register_structure_hook(bytearray, lambda value, _: bytearray(converter.structure(value, bytes)))
    converter.register_unstructure_hook(bytearray, bytes)
    return converter


def _is_set(cls: Any) -> bool:
    return get_origin(cls) is set


def _structure_mapping(cls: Any, converter: Converter) -> Structure:
    keys, values = (converter.get_structure_hook(list[kind]) for kind in get_args(cls))  # type: ignore[valid-type]
    key, value = (list[kind] for kind in get_args(cls))  # type: ignore[valid-type]

    def hook(plain: Any, _: Any) -> dict[Any, Any]:
        return dict(zip(keys(plain[0], key), values(plain[1], value), strict=True))

    return hook


def _unstructure_mapping(cls: Any, converter: Converter) -> Unstructure:
    key, value = (converter.get_unstructure_hook(kind) for kind in get_args(cls))
    return lambda mapping: [[key(each) for each in mapping], [value(each) for each in mapping.values()]]


def _structure_set(cls: Any, converter: Converter) -> Structure:
    kind = list[get_args(cls)[0]]  # type: ignore[misc,valid-type]
    members = converter.get_structure_hook(kind)
    return lambda plain, _: set(members(plain, kind))


def _unstructure_set(cls: Any, converter: Converter) -> Unstructure:
    member = converter.get_unstructure_hook(get_args(cls)[0])
    return lambda members: sorted(member(each) for each in members)


_CONVERTER: Final = _make_converter()
