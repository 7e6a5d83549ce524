from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

import pytest
from attrs import frozen

from ployz.ids import MachineId, ServiceRef, SlotRef, VolumeRef
from ployz.strict import Malformed, make_converter, pack, structure, unpack


class Colour(StrEnum):
    RED = "red"


@frozen
class Cat:
    lives: int


@frozen
class Dog:
    tricks: tuple[str, ...]


Animal = Cat | Dog


@frozen
class Everything:
    flag: bool
    count: int
    ratio: float
    text: str
    data: bytes
    maybe: str | None
    colour: Colour
    machine: MachineId
    volume: VolumeRef
    slot: SlotRef
    names: tuple[str, ...]
    numbers: Sequence[int]
    listed: list[int]
    pair: tuple[str, int]
    members: frozenset[MachineId]
    env: Mapping[str, int]
    kind: Literal["tcp", "udp"]
    animal: Animal
    animals: tuple[Animal, ...]
    pet: Cat | Dog | None
    with_default: int = 7


EVERYTHING = Everything(
    flag=True,
    count=-3,
    ratio=0.5,
    text="zwölf\n\0",
    data=b"\xff",
    maybe=None,
    colour=Colour.RED,
    machine=MachineId("a"),
    volume=VolumeRef.parse("production/pgdata"),
    slot=SlotRef.parse("production/db/slot-1"),
    names=("x", "y"),
    numbers=(1, 2**64 - 1),
    listed=[-(2**63)],
    pair=("x", 1),
    members=frozenset({MachineId("b"), MachineId("a")}),
    env={"b": 1, "a": 2},
    kind="udp",
    animal=Cat(9),
    animals=(Dog(("sit",)), Cat(1)),
    pet=None,
)
PLAIN: dict[str, Any] = {
    "flag": True,
    "count": -3,
    "ratio": 0.5,
    "text": "zwölf\n\0",
    "data": b"\xff",
    "maybe": None,
    "colour": "red",
    "machine": "a",
    "volume": "production/pgdata",
    "slot": "production/db/slot-1",
    "names": ["x", "y"],
    "numbers": [1, 2**64 - 1],
    "listed": [-(2**63)],
    "pair": ["x", 1],
    "members": ["a", "b"],
    "env": {"a": 2, "b": 1},
    "kind": "udp",
    "animal": ["Cat", {"lives": 9}],
    "animals": [["Dog", {"tricks": ["sit"]}], ["Cat", {"lives": 1}]],
    "pet": None,
    "with_default": 7,
}


def test_values_become_plain_data_and_come_back_equal() -> None:
    converter = make_converter()
    plain = converter.unstructure(EVERYTHING)
    assert plain == PLAIN
    assert structure(converter, unpack(pack(plain), limit_bytes=10_000), Everything) == EVERYTHING


def test_names_come_back_as_names_and_go_out_as_plain_text() -> None:
    converter = make_converter()
    assert type(converter.unstructure(EVERYTHING)["machine"]) is str
    assert type(structure(converter, PLAIN, Everything).machine) is MachineId


def test_text_like_values_in_a_text_field_become_plain_text() -> None:
    @frozen
    class Note:
        text: str

    assert type(make_converter().unstructure(Note(Colour.RED))["text"]) is str


def test_equal_mappings_and_sets_have_equal_bytes() -> None:
    @frozen
    class Bag:
        env: Mapping[str, int]

    converter = make_converter()
    one, other = Bag({"a": 1, "b": 2}), Bag({"b": 2, "a": 1})
    assert pack(converter.unstructure(one)) == pack(converter.unstructure(other))


def test_an_absent_field_with_a_default_takes_it() -> None:
    plain = {key: value for key, value in PLAIN.items() if key != "with_default"}
    assert structure(make_converter(), plain, Everything).with_default == 7


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("flag", 1, "flag: an int where a bool belongs"),
        ("count", "3", "count: a str where an int belongs"),
        ("count", True, "count: a bool where an int belongs"),
        ("count", 3.0, "count: a float where an int belongs"),
        ("count", 2**64, "count: an int that needs more than 64 bits"),
        ("count", None, "count: nothing where an int belongs"),
        ("ratio", 1, "ratio: an int where a float belongs"),
        ("ratio", float("nan"), "ratio: nan is no finite number"),
        ("ratio", float("inf"), "ratio: inf is no finite number"),
        ("text", b"a", "text: a bytes where a str belongs"),
        ("data", "a", "data: a str where a bytes belongs"),
        ("maybe", 3, "maybe: an int where a str belongs"),
        ("colour", "green", "colour: 'green' is not a valid Colour"),
        ("colour", b"red", "colour: a bytes where a str belongs"),
        ("machine", "NO NAME", "machine: 'NO NAME' is no machine name"),
        ("machine", 3, "machine: an int where a machine name belongs"),
        ("volume", "pgdata", "volume: 'pgdata' is no volume"),
        ("volume", {"namespace": "a"}, "volume: a dict where a VolumeRef belongs"),
        ("slot", "production/db", "slot: 'production' is no service"),
        ("names", "xy", "names: a str where a list belongs"),
        ("names", {"x": 1}, "names: a dict where a list belongs"),
        ("names", ["x", 1], "names[1]: an int where a str belongs"),
        ("pair", ["x"], "pair: 1 items where 2 belong"),
        ("members", ["a", "a"], "members: a member is there twice"),
        ("env", [["a", 1]], "env: a list where a dict belongs"),
        ("env", {"a": "1"}, "env['a']: a str where an int belongs"),
        ("kind", "icmp", "kind: icmp not in literal"),
        ("animal", {"lives": 9}, "animal: a dict where a list belongs"),
        ("animal", ["Cow", {}], "animal: 'Cow' is none of Cat, Dog"),
        ("animal", [], "animal: not [class name, fields]"),
        ("animals", [["Cat", {"lives": 9}], ["Dog", {}]], "animals[1].tricks: missing"),
        ("pet", ["Cat", None], "pet: nothing where a dict belongs"),
        ("surprise", 1, "value: unknown 'surprise'"),
        (b"surprise", 1, "value: unknown b'surprise'"),
    ],
)
def test_what_is_not_exactly_right_is_refused_with_its_path(field: str, value: object, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        structure(make_converter(), {**PLAIN, field: value}, Everything)
    assert text in str(caught.value)


def test_every_mistake_is_listed_at_once() -> None:
    with pytest.raises(Malformed) as caught:
        structure(make_converter(), {**PLAIN, "flag": 1, "pair": "x", "extra": 0}, Everything)
    assert str(caught.value).split("; ") == [
        "flag: an int where a bool belongs",
        "pair: a str where a list belongs",
        "value: unknown 'extra'",
    ]


@pytest.mark.parametrize("plain", [None, 3, "x", b"x", [], [["count", 3]]])
def test_a_class_is_made_from_a_dict_only(plain: object) -> None:
    with pytest.raises(Malformed, match="where a dict belongs"):
        structure(make_converter(), plain, Cat)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01\x01", id="trailing"),
        pytest.param(b"\xa5ab", id="truncated"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="length-bomb"),
        pytest.param(b"\xdb\xff\xff\xff\xff", id="text-bomb"),
        pytest.param(b"\x91" * 5_000, id="nesting-bomb"),
        pytest.param(b"\xc1", id="unused-byte"),
        pytest.param(b"\xd6\xff\0\0\0\0", id="timestamp"),
        pytest.param(b"\xa1\xff", id="no-utf-8"),
        pytest.param(b"\x81\x01\x01", id="int-key"),
        pytest.param(b"\x81\x90\x01", id="list-key"),
        pytest.param(b"\xc4\xff" + b"x" * 255, id="over-the-limit"),
    ],
)
def test_bytes_that_are_not_one_small_msgpack_value_are_refused(data: bytes) -> None:
    limit_bytes = 200 if data.startswith(b"\xc4") else 10_000
    with pytest.raises(Malformed):
        unpack(data, limit_bytes=limit_bytes)


@pytest.mark.parametrize("plain", [2**64, "\ud800", object(), [[[object()]]]])
def test_what_msgpack_cannot_hold_is_refused(plain: object) -> None:
    with pytest.raises(Malformed):
        pack(plain)


def test_references_go_through_their_own_parser() -> None:
    converter = make_converter()
    assert structure(converter, "production/db", ServiceRef) == ServiceRef.parse("production/db")
    assert converter.unstructure(ServiceRef.parse("production/db")) == "production/db"
