from __future__ import annotations

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings

from ployz.errors import Code, Refused
from ployz.wire.frames import (
    DEPTH_MAX,
    FRAME_BYTES_MAX,
    HELLO_BYTES_MAX,
    ITEMS_MAX,
    BadFrame,
    Flaw,
    FrameDecoder,
    encode_frame,
    unpack_checked,
)
from tests.fuzz.strategies import MAPS


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def flaw_of(data: bytes, limit_bytes: int = FRAME_BYTES_MAX) -> Flaw:
    decoder = FrameDecoder(limit_bytes)
    decoder.feed(data)
    with pytest.raises(BadFrame) as caught:
        decoder.next_frame()
    assert caught.value.code is Code.MALFORMED_FRAME
    return caught.value.flaw


def nested(levels: int) -> bytes:
    return b"\x81\xa1a" * levels + b"\xc0"


def test_a_frame_comes_out_as_it_went_in() -> None:
    content = {"kind": "x", "n": -5, "big": 2**63, "blob": b"\0" * 1000, "list": [1.5, None, True, "é"], "map": {}}
    decoder = FrameDecoder()
    decoder.feed(encode_frame(content))
    assert decoder.next_frame() == content
    assert decoder.next_frame() is None
    decoder.end()


def test_frames_arrive_in_any_pieces() -> None:
    data = encode_frame({"a": 1}) + encode_frame({"b": [2]})
    for size in (1, 2, 3, 5, len(data)):
        decoder = FrameDecoder()
        frames = []
        for at in range(0, len(data), size):
            decoder.feed(data[at : at + size])
            while (frame := decoder.next_frame()) is not None:
                frames.append(frame)
        assert frames == [{"a": 1}, {"b": [2]}]


def test_a_length_bomb_is_refused_from_its_first_four_bytes() -> None:
    assert flaw_of(b"\xff\xff\xff\xff") is Flaw.TOO_LONG
    assert flaw_of((HELLO_BYTES_MAX + 1).to_bytes(4, "big"), HELLO_BYTES_MAX) is Flaw.TOO_LONG


@pytest.mark.parametrize(
    "payload",
    [
        b"\xdd\xff\xff\xff\xff",  # a list of four thousand million
        b"\xdf\xff\xff\xff\xff",  # a map of as many
        b"\xc6\xff\xff\xff\xff",  # a blob
        b"\xdb\x00\x00\x00\x05abc",
        b"\xd9",
        b"\xcb\0\0",
        b"\x81\xa1a",
        b"",
    ],
)
def test_a_value_that_claims_more_than_there_is_is_truncated(payload: bytes) -> None:
    assert flaw_of(framed(payload)) is Flaw.TRUNCATED


def test_a_nesting_bomb_is_refused() -> None:
    assert flaw_of(framed(nested(100_000))) is Flaw.TOO_DEEP
    assert flaw_of(framed(b"\x91" * 1_000_000)) is Flaw.TOO_DEEP


def test_nesting_up_to_the_limit_is_taken() -> None:
    assert isinstance(unpack_checked(nested(DEPTH_MAX)), dict)
    assert flaw_of(framed(nested(DEPTH_MAX + 1))) is Flaw.TOO_DEEP


def test_many_small_values_are_refused_before_they_are_made() -> None:
    assert flaw_of(framed(b"\xdd" + (4_000_000).to_bytes(4, "big") + b"\x80" * 4_000_000)) is Flaw.TOO_MANY
    assert len(unpack_checked(msgpack.packb([0] * (ITEMS_MAX - 1)))) == ITEMS_MAX - 1


def test_bytes_after_the_map_are_refused() -> None:
    assert flaw_of(framed(b"\x80\x80")) is Flaw.TRAILING


@pytest.mark.parametrize("value", [[], 1, None, "text", b"blob", True])
def test_what_is_no_map_is_refused(value: object) -> None:
    assert flaw_of(framed(msgpack.packb(value))) is Flaw.NOT_A_MAP


@pytest.mark.parametrize(
    "payload",
    [
        b"\xc1",  # the byte that msgpack never uses
        b"\xc7\x01\x05a",  # extension types
        b"\xd4\x05a",
        b"\x81\xa1a\xd6\xff\0\0\0\0",  # a timestamp
        b"\x81\xa2\xff\xfe\x00",  # text that is no UTF-8
        b"\x81\x90\x00",  # a list as a key
        b"\x81\x01\x00",  # a number as a key
    ],
)
def test_what_the_protocol_does_not_use_is_illegal(payload: bytes) -> None:
    assert flaw_of(framed(payload)) is Flaw.ILLEGAL


def test_a_connection_that_ends_inside_a_frame_says_truncated() -> None:
    decoder = FrameDecoder()
    decoder.feed(encode_frame({"a": 1})[:-1])
    assert decoder.next_frame() is None
    assert decoder.is_inside_frame
    with pytest.raises(BadFrame) as caught:
        decoder.end()
    assert caught.value.flaw is Flaw.TRUNCATED


def test_after_an_illegal_frame_nothing_is_read_any_more() -> None:
    decoder = FrameDecoder()
    decoder.feed(framed(b"\xc1") + encode_frame({"a": 1}))
    for _ in range(3):
        with pytest.raises(BadFrame) as caught:
            decoder.next_frame()
        assert caught.value.flaw is Flaw.ILLEGAL
        decoder.feed(encode_frame({"a": 1}))
    assert not decoder.is_inside_frame


def test_a_content_longer_than_a_frame_is_not_sent() -> None:
    with pytest.raises(Refused, match="limit"):
        encode_frame({"blob": b"\0" * FRAME_BYTES_MAX})


@settings(max_examples=50, deadline=None)
@given(MAPS)
def test_whatever_is_encoded_is_decoded(content: dict[str, object]) -> None:
    decoder = FrameDecoder()
    decoder.feed(encode_frame(content))
    assert decoder.next_frame() == content
