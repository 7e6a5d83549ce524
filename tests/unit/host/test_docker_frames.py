from __future__ import annotations

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from ployz.host.docker.frames import Tail

OUT, ERR = 1, 2


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(payload)) + payload


def test_both_streams_come_out_in_the_order_of_writing() -> None:
    tail = Tail(100)
    tail.feed(frame(OUT, b"one\n") + frame(ERR, b"two\n") + frame(OUT, b"") + frame(OUT, b"three\n"))
    assert tail.text == "one\ntwo\nthree\n"


@given(
    payloads=st.lists(st.binary(max_size=40), max_size=8),
    cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=12),
    limit_bytes=st.integers(min_value=1, max_value=200),
)
def test_wherever_the_bytes_are_cut_the_end_is_the_same(
    payloads: list[bytes], cuts: list[int], limit_bytes: int
) -> None:
    stream = b"".join(frame(OUT, each) for each in payloads)
    tail = Tail(limit_bytes)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        tail.feed(stream[start:end])
    assert tail.text == b"".join(payloads)[-limit_bytes:].decode(errors="replace")


def test_a_frame_that_is_cut_off_gives_what_came() -> None:
    tail = Tail(100)
    tail.feed(frame(OUT, b"whole") + frame(OUT, b"half a sentence")[:-9])
    assert tail.text == "wholehalf a"
