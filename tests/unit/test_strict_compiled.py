"""The compiled reader of a class and the ordinary one: they take the same, make the same of it, and refuse the same."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import attrs
import pytest
from attrs import field, frozen
from cattrs import Converter
from hypothesis import given
from hypothesis import strategies as st

from ployz.events.codec import CODEC
from ployz.events.types import Event
from ployz.ids import MachineId, VolumeRef
from ployz.strict import Malformed, make_converter, structure, unpack
from ployz.strict.compiled import compile_class
from tests.fuzz.strategies import PLAIN as ANYTHING
from tests.fuzz.strategies import damaged
from tests.golden.samples import samples
from tests.unit.test_strict import PLAIN, Everything

SAMPLES = samples()


def converters() -> Iterator[Converter]:
    for detailed in (True, False):
        converter = make_converter(detailed=detailed)
        CODEC.teach(converter)
        yield converter


ORDINARY, COMPILED = converters()


def read(converter: Converter, plain: object, cls: type[Any]) -> Any:
    """None: refused."""
    try:
        return structure(converter, plain, cls)
    except Exception:  # noqa: BLE001 - that it is refused is compared here, not how
        return None


def types_in(value: object) -> Any:
    """`1 == True`, and a name is equal to its text: values that are equal may still not be the same."""
    if attrs.has(type(value)):
        inner = [types_in(getattr(value, each.name)) for each in attrs.fields(type(value))]  # type: ignore[arg-type]
    elif isinstance(value, tuple | list):
        inner = [types_in(each) for each in value]
    else:
        inner = []
    return type(value), inner


def same(plain: object, cls: type[Any]) -> Any:
    ordinary, compiled = read(ORDINARY, deepcopy(plain), cls), read(COMPILED, plain, cls)
    assert compiled == ordinary
    assert types_in(compiled) == types_in(ordinary)
    return ordinary


@st.composite
def replaced(draw: st.DrawFn, plain: Any) -> Any:
    """Good data in which one place, at any depth, is anything."""
    if not isinstance(plain, dict | list) or not plain or draw(st.integers(0, 3)) == 0:
        return draw(ANYTHING)
    changed = plain.copy()
    if isinstance(changed, dict):
        key = draw(st.sampled_from(sorted(changed)))
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "remove":
                del changed[key]
            case "add":
                changed[draw(st.text(max_size=8))] = draw(ANYTHING)
            case _:
                changed[key] = draw(replaced(changed[key]))
    else:
        at = draw(st.integers(0, len(changed) - 1))
        changed[at] = draw(replaced(changed[at]))
    return changed


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: event.event_name)
def test_every_event_is_read_alike(event: Event) -> None:
    assert same(CODEC.fields(event), type(event)) == event


@given(st.data())
def test_events_with_something_else_in_some_place_are_read_alike(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(SAMPLES))
    same(data.draw(replaced(CODEC.fields(event))), type(event))


@given(st.data())
def test_damaged_bytes_of_events_are_read_alike(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(SAMPLES))
    payload = data.draw(damaged(st.just(CODEC.encode(event).payload)))
    try:
        plain = unpack(payload, limit_bytes=len(payload))
    except Malformed:
        return
    same(plain, type(event))


@given(replaced(PLAIN))
def test_every_kind_of_field_is_read_alike(plain: object) -> None:
    same(plain, Everything)


@given(st.sampled_from(sorted(PLAIN)), ANYTHING)
def test_anything_in_any_kind_of_field_is_read_alike(name: str, value: object) -> None:
    same({**PLAIN, name: value}, Everything)


@frozen
class Odd:
    """What attrs allows a class to have."""

    _private: MachineId
    first: int = field(kw_only=True, alias="other_name")
    numbers: tuple[int, ...] = field(factory=tuple)
    derived: int = field(init=False, default=3)
    volume: VolumeRef | None = None


@pytest.mark.parametrize(
    "plain",
    [
        {"_private": "a", "first": 1},
        {"_private": "a", "first": 1, "numbers": [1, 2], "volume": "production/data"},
        {"_private": "a", "first": 1, "numbers": [1, True], "volume": None},
        {"_private": "a", "first": 1, "derived": 4},
        {"_private": "a", "first": 1, "numbers": [], "derived": 4},
        {"_private": "a", "other_name": 1, "numbers": [], "volume": None},
        {"private": "a", "first": 1},
        {"_private": "a"},
    ],
)
def test_private_renamed_keyword_derived_and_absent_fields_are_read_alike(plain: dict[str, object]) -> None:
    same(plain, Odd)


def test_such_a_class_is_read_at_all() -> None:
    found = same({"_private": "a", "first": 1, "numbers": [1, 2], "volume": "production/data"}, Odd)
    assert found == Odd(MachineId("a"), other_name=1, numbers=(1, 2), volume=VolumeRef.parse("production/data"))


def test_a_hook_of_the_callers_own_is_asked_for_every_value_of_its_type() -> None:
    @frozen
    class Box:
        name: str

    converter = make_converter(detailed=False)
    converter.register_structure_hook(str, lambda value, _: f"<{value}>")
    assert structure(converter, {"name": "x"}, Box) == Box("<x>")


def test_only_what_is_not_obviously_right_goes_the_ordinary_way() -> None:
    @frozen
    class Two:
        text: str
        number: int

    def ordinary(plain: object, _: Any) -> Any:
        raise Malformed(f"asked about {plain}")

    read = compile_class(Two, make_converter(), ordinary, {})
    assert read({"text": "a", "number": 1}, Two) == Two("a", 1)
    others: list[object] = [{"text": "a"}, {"text": "a", "number": 1, "more": 1}, [], None]
    for plain in others:
        with pytest.raises(Malformed, match="asked about"):
            read(plain, Two)
