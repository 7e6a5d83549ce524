"""Classes, each a dict with exactly its fields, and closed unions of them, each with the name of its class."""

from __future__ import annotations

from functools import partial
from types import NoneType, UnionType
from typing import Any, get_args

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn

from ployz.ids import ServiceRef, SlotRef, VolumeRef
from ployz.strict.collections import Structure, Unstructure, only
from ployz.strict.compiled import Inline, compile_class
from ployz.strict.malformed import Malformed


def add_classes(converter: Converter, inline: dict[Any, Inline] | None) -> None:
    """`inline`: as `compile_class` wants it; None: nothing is compiled, and mistakes have their paths."""
    if inline is None:
        converter.register_structure_hook_factory(_is_class, _structure_class)
    else:
        converter.register_structure_hook_factory(_is_class, partial(_compile_class, inline))
    converter.register_structure_hook_factory(_is_union, _structure_union)
    converter.register_unstructure_hook_factory(_is_union, _unstructure_union)


def _is_class(cls: Any) -> bool:
    return isinstance(cls, type) and attrs.has(cls) and cls not in (ServiceRef, VolumeRef, SlotRef)


def _structure_class(cls: Any, converter: Converter) -> Structure:
    return only(dict, make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True))


def _compile_class(inline: dict[Any, Inline], cls: Any, converter: Converter) -> Structure:
    return compile_class(cls, converter, _structure_class(cls, converter), inline)


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

    checked = only(list, hook)
    if NoneType not in get_args(cls):
        return checked
    return lambda value, kind: None if value is None else checked(value, kind)


def _unstructure_union(cls: Any, converter: Converter) -> Unstructure:
    hooks = {member: converter.get_unstructure_hook(member) for member in _members(cls)}
    return lambda value: None if value is None else [type(value).__name__, hooks[type(value)](value)]
