"""When the pieces of a stream are packed, and what may come as a packed piece."""

from __future__ import annotations

import random
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.wire.packing import AGAIN_BYTES, FIRST_BYTES, MEASURED_BYTES, Measured, Packing, pays, unpacked
from ployz.wire.stream_link import PIECE_BYTES, Kind, LinkLost

MIB = 1 << 20
PIECE = (b"a line of text that is not new\n" * PIECE_BYTES)[:PIECE_BYTES]
SLOW_S, QUICK_S = 10.0, 0.0
"""What the link takes for a piece."""


def measured(*, link_mib_s: float, pack_mib_s: float, packed: float) -> Measured:
    return Measured(8 * MIB, 8 / link_mib_s, MIB, round(packed * MIB), 1 / pack_mib_s)


@pytest.mark.parametrize(
    ("link_mib_s", "pack_mib_s", "packed", "expected"),
    [
        (10, 80, 0.4, True),  # a slow link, and text
        (10, 80, 0.99, False),  # nothing shrinks
        (10, 8, 0.1, False),  # a slower processor
        (60, 80, 0.4, False),  # a link that is nearly as quick as packing
        (60, 500, 0.01, True),  # nothing but zeros
        (10_000, 80, 0.4, False),  # the source, or the receiver, is what is waited for
    ],
)
def test_packing_pays_where_the_link_is_slower_than_packing_and_what_shrinks(
    link_mib_s: float, pack_mib_s: float, packed: float, expected: bool
) -> None:
    assert pays(measured(link_mib_s=link_mib_s, pack_mib_s=pack_mib_s, packed=packed)) is expected


def test_nothing_is_decided_by_nothing() -> None:
    assert not pays(Measured())
    assert not pays(Measured(sent_bytes=8 * MIB, send_s=8.0))


async def kinds(packing: Packing, total_bytes: int, took_s: float, piece: bytes = PIECE) -> set[Kind]:
    found = set()
    for _ in range(total_bytes // len(piece)):
        kind, content = await packing.pack(piece)
        assert bytes(unpacked(memoryview(content))) == piece if kind is Kind.PACKED else content == piece
        found.add(kind)
        packing.sent(len(piece), took_s)
    return found


def of_a_stream(body: Callable[[Packing], Awaitable[None]]) -> None:
    async def main() -> None:
        await body(Packing())

    anyio.run(main, backend="trio")


def test_a_slow_link_gets_packed_pieces_after_the_first_ones_and_what_does_not_shrink_as_it_is() -> None:
    async def body(packing: Packing) -> None:
        assert await kinds(packing, FIRST_BYTES + MEASURED_BYTES, SLOW_S) == {Kind.CONTENT}
        assert await kinds(packing, MIB, SLOW_S) == {Kind.PACKED}
        noise = random.Random(1).randbytes(PIECE_BYTES)  # noqa: S311 - as long as it does not shrink
        assert await packing.pack(noise) == (Kind.CONTENT, noise)

    of_a_stream(body)


def test_a_quick_link_gets_everything_as_it_is() -> None:
    async def body(packing: Packing) -> None:
        assert await kinds(packing, FIRST_BYTES + MEASURED_BYTES + MIB, QUICK_S) == {Kind.CONTENT}

    of_a_stream(body)


def test_a_link_that_becomes_quick_is_found_out() -> None:
    async def body(packing: Packing) -> None:
        await kinds(packing, FIRST_BYTES + MEASURED_BYTES, SLOW_S)
        await kinds(packing, AGAIN_BYTES + MEASURED_BYTES, QUICK_S)
        assert await kinds(packing, MIB, QUICK_S) == {Kind.CONTENT}

    of_a_stream(body)


@given(st.binary(max_size=2_000))
def test_a_packed_piece_comes_back_as_it_was(piece: bytes) -> None:
    assert bytes(unpacked(memoryview(zlib.compress(piece, 1)))) == piece


@given(st.binary(max_size=200))
def test_anything_else_is_no_stream(content: bytes) -> None:
    with suppress(LinkLost):
        piece = bytes(unpacked(memoryview(content)))
        assert piece == zlib.decompress(content)


@pytest.mark.parametrize(
    "content",
    [b"", zlib.compress(PIECE)[:-1], zlib.compress(PIECE) + b"more", zlib.compress(bytes(PIECE_BYTES + 1))],
    ids=["nothing", "not all of it", "more than it", "more than a piece"],
)
def test_a_piece_is_packed_whole_and_no_larger_than_a_piece(content: bytes) -> None:
    with pytest.raises(LinkLost):
        unpacked(memoryview(content))
