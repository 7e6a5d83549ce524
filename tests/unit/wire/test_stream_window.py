"""What a sender keeps: as much as the receiver may still ask for, and no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ployz.wire.stream_window import WINDOW_BYTES, Window


def sent_of(window: Window) -> bytes:
    pieces = []
    while (piece := window.next_piece()) is not None:
        pieces.append(piece)
    return b"".join(pieces)


def filled(*pieces: bytes) -> Window:
    window = Window()
    for piece in pieces:
        window.add(piece)
    return window


def test_what_was_not_taken_is_sent_again_and_nothing_else() -> None:
    window = filled(b"abc", b"def", b"ghi")
    assert sent_of(window) == b"abcdefghi"
    assert window.resume(4)
    assert sent_of(window) == b"efghi"
    assert window.again_bytes == 5


def test_what_is_not_kept_any_more_cannot_be_gone_back_to() -> None:
    window = filled(b"abc", b"def")
    sent_of(window)
    window.take(3)
    assert not window.resume(2)
    assert not window.resume(7)


def test_it_is_full_until_the_receiver_has_taken_something() -> None:
    window = filled(bytes(WINDOW_BYTES))
    assert window.is_full
    window.take(1)
    assert not window.is_full


def test_what_the_receiver_has_from_an_earlier_sender_is_read_and_dropped() -> None:
    window = Window()
    window.skip(4)
    for piece in (b"abc", b"def", b"ghi"):
        window.add(piece)
    assert sent_of(window) == b"efghi"
    assert (window.read, window.sent, window.again_bytes) == (9, 9, 0)


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1), st.data())
def test_however_often_it_is_cut_the_receiver_ends_with_the_stream(pieces: list[bytes], data: st.DataObject) -> None:
    window, received = Window(), b""
    for piece in pieces:
        window.add(piece)
        if data.draw(st.booleans()):
            on_its_way = sent_of(window)
            received += on_its_way[: data.draw(st.integers(0, len(on_its_way)))]
            window.take(data.draw(st.integers(window.taken, len(received))))
            assert window.resume(len(received))
    received += sent_of(window)
    assert received == b"".join(pieces)
