from __future__ import annotations

import pytest
from attrs import frozen

from ployz import __version__
from ployz.errors import Code, Corrupt, Refused
from ployz.events.codec import CODEC, PAYLOAD_LIMIT_BYTES, Codec
from ployz.events.types import Event, Fact, FactMirrored, Lifecycle, MachineLifecycleChanged, NodeStarted
from ployz.ids import MachineId
from ployz.strict import Malformed, make_converter, pack, structure
from tests.golden.samples import samples

A = MachineId("machine-a")
FACT = MachineLifecycleChanged(A, Lifecycle.ACTIVE)


@frozen
class DoorOpened(Event):
    event_name = "door.opened"
    event_version = 3

    door: str
    wide: bool


def old_door(fields: dict[str, object]) -> dict[str, object]:
    return {"door": fields["name"]}


DOORS = Codec(
    {("door.opened", 3): DoorOpened},
    {("door.opened", 1): old_door, ("door.opened", 2): lambda fields: {**fields, "wide": False}},
)


@pytest.mark.parametrize("event", samples(), ids=lambda event: event.event_name)
def test_an_event_comes_back_equal(event: Event) -> None:
    encoded = CODEC.encode(event)
    assert encoded.event == event
    assert CODEC.decode(encoded.name, encoded.version, encoded.payload) == event


def test_a_fact_inside_another_event_carries_its_own_name_and_version() -> None:
    encoded = CODEC.encode(FactMirrored(1, b"h", FACT))
    assert encoded.payload == pack(
        {
            "position": 1,
            "hash": b"h",
            "fact": ["machine.lifecycle_changed", 1, {"machine": "machine-a", "lifecycle": "active"}],
        }
    )


@pytest.mark.parametrize(
    "event",
    [
        NodeStarted(A, 3),  # type: ignore[arg-type]
        NodeStarted("NO NAME", "1"),  # type: ignore[arg-type]
        FactMirrored(1, b"", NodeStarted(A, "1")),  # type: ignore[arg-type]
        FactMirrored(2**64, b"", FACT),
        FactMirrored(1, b"", None),  # type: ignore[arg-type]
        DoorOpened("front", wide=True),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_could_not_be_read_back_is_not_written(event: Event) -> None:
    with pytest.raises(Malformed):
        CODEC.encode(event)


def test_an_event_beyond_the_limit_is_refused_to_its_writer_and_to_its_reader() -> None:
    with pytest.raises(Refused) as caught:
        CODEC.encode(NodeStarted(A, "x" * PAYLOAD_LIMIT_BYTES))
    assert caught.value.code is Code.MALFORMED_EVENT
    with pytest.raises(Corrupt, match="the limit is"):
        CODEC.decode("node.started", 1, b"x" * (PAYLOAD_LIMIT_BYTES + 1))


@pytest.mark.parametrize(
    ("name", "version", "payload", "code", "text"),
    [
        ("moon.landed", 1, b"\x80", Code.UNKNOWN_EVENT, f"moon.landed/1: ployz {__version__} knows no such event"),
        (
            "node.started",
            2,
            b"\x80",
            Code.UNKNOWN_EVENT,
            f"node.started/2: ployz {__version__} knows it up to version 1",
        ),
        ("node.started", 0, b"\x80", Code.MALFORMED_EVENT, "versions begin at 1"),
        ("node.started", 1, b"", Code.MALFORMED_EVENT, "not msgpack"),
        ("node.started", 1, b"\x90", Code.MALFORMED_EVENT, "a map"),
        ("node.started", 1, b"\x80", Code.MALFORMED_EVENT, "machine: missing; version: missing"),
        (
            "node.started",
            1,
            pack({"machine": "a", "version": 1, "more": 1}),
            Code.MALFORMED_EVENT,
            "version: an int where a str belongs; value: unknown 'more'",
        ),
    ],
)
def test_bad_stored_data_is_one_error_that_says_what_is_wrong(
    name: str, version: int, payload: bytes, code: Code, text: str
) -> None:
    with pytest.raises(Corrupt) as caught:
        CODEC.decode(name, version, payload)
    assert caught.value.code is code
    assert text in caught.value.problem.text
    assert caught.value.problem.advice


@pytest.mark.parametrize(
    ("fact", "code", "text"),
    [
        (["moon.landed", 1, {}], Code.UNKNOWN_EVENT, "moon.landed/1"),
        (["machine.removed", 2, {}], Code.UNKNOWN_EVENT, "machine.removed/2"),
        (["machine.removed", 1, {}], Code.MALFORMED_EVENT, "machine: missing"),
        (["machine.removed", 1, []], Code.MALFORMED_EVENT, "fact: the fields of an event are a map"),
        (["machine.removed", True, {"machine": "a"}], Code.MALFORMED_EVENT, "not [name, version, fields]"),
        (["node.started", 1, {"machine": "a", "version": "1"}], Code.MALFORMED_EVENT, "node.started/1 is no fact"),
        (["fact.mirrored", 1, {}], Code.MALFORMED_EVENT, "fact.mirrored/1 is no fact"),
        ({"machine": "a"}, Code.MALFORMED_EVENT, "not [name, version, fields]"),
    ],
)
def test_a_bad_fact_inside_an_event_is_found_too(fact: object, code: Code, text: str) -> None:
    with pytest.raises(Corrupt) as caught:
        CODEC.decode("fact.mirrored", 1, pack({"position": 1, "hash": b"", "fact": fact}))
    assert caught.value.code is code
    assert text in caught.value.problem.text


def test_every_older_version_is_read_as_the_newest() -> None:
    assert DOORS.decode("door.opened", 1, pack({"name": "front"})) == DoorOpened("front", wide=False)
    assert DOORS.decode("door.opened", 2, pack({"door": "front"})) == DoorOpened("front", wide=False)
    assert DOORS.decode("door.opened", 3, pack({"door": "front", "wide": True})) == DoorOpened("front", wide=True)
    assert DOORS.encode(DoorOpened("front", wide=True)).version == 3


def test_fields_that_an_upcaster_cannot_read_are_malformed() -> None:
    with pytest.raises(Corrupt) as caught:
        DOORS.decode("door.opened", 1, pack({"nome": "front"}))
    assert caught.value.code is Code.MALFORMED_EVENT
    assert "not the fields of door.opened/1" in caught.value.problem.text


def test_a_vocabulary_with_an_unreadable_old_version_is_refused_at_the_start() -> None:
    with pytest.raises(AssertionError, match=r"door\.opened/2 has no upcaster to door\.opened/3"):
        Codec({("door.opened", 3): DoorOpened}, {("door.opened", 1): old_door})


def test_another_converter_learns_to_carry_facts() -> None:
    @frozen
    class Message:
        facts: tuple[Fact, ...]

    converter = make_converter()
    CODEC.teach(converter)
    plain = converter.unstructure(Message((FACT,)))
    assert plain == {"facts": [["machine.lifecycle_changed", 1, {"machine": "machine-a", "lifecycle": "active"}]]}
    assert structure(converter, plain, Message) == Message((FACT,))
    with pytest.raises(Corrupt, match=r"moon\.landed/1"):
        structure(converter, {"facts": [["moon.landed", 1, {}]]}, Message)
