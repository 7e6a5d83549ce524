"""Lists, tuples, sets and mappings: each is made from exactly its own shape, and equal ones have equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin

from cattrs import Converter
from cattrs.cols import is_mapping, list_structure_factory, mapping_structure_factory, mapping_unstructure_factory

from ployz.strict.malformed import Malformed, misplaced, name_of

Structure = Callable[[Any, Any], Any]
Unstructure = Callable[[Any], Any]


def add_collections(converter: Converter) -> None:
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


def only(shape: type, hook: Structure) -> Structure:
    """Without this, cattrs iterates over anything that iterates: a str would pass as a list of str."""

    def check(value: object, cls: Any) -> Any:
        if type(value) is not shape:
            raise misplaced(value, name_of(shape))
        return hook(value, cls)

    return check


def _structure_list(cls: Any, converter: Converter) -> Structure:
    return only(list, list_structure_factory(cls, converter))


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

    return only(list, hook)


def _structure_mapping(cls: Any, converter: Converter) -> Structure:
    return only(dict, mapping_structure_factory(cls, converter))


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
