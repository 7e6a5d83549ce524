"""Frames: a 4-byte length and one msgpack map, checked before anything is allocated for it. Sans-IO.

A frame that is not legal closes the decoder for good: after it, nothing on that connection has a meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from ployz.errors import Code, Refused
from ployz.strict import Malformed, pack, unpack

FRAME_BYTES_MAX = 16 << 20
HELLO_BYTES_MAX = 64 << 10
"""Before the hello the other side is nobody yet: it gets no memory to speak of."""
DEPTH_MAX = 32
ITEMS_MAX = 200_000
"""Values in one frame. A byte of msgpack can become 64 of Python objects, so bytes alone are no bound."""
LENGTH_BYTES = 4


class Flaw(StrEnum):
    """What can be wrong with a frame."""

    TOO_LONG = "longer than allowed"
    TRUNCATED = "cut short"
    TOO_DEEP = "nested too deeply"
    TOO_MANY = "made of too many values"
    TRAILING = "followed by bytes that do not belong to it"
    NOT_A_MAP = "not a map"
    ILLEGAL = "not msgpack as it is used here"
    UNKNOWN_KIND = "of an unknown kind"
    WRONG_FIELDS = "not made of the fields of its kind"


class BadFrame(Refused):
    """Bytes from the other side that are no legal frame. The connection ends here; nothing of the frame was used."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(Code.MALFORMED_FRAME, f"a frame is {flaw}: {detail}")
        self.flaw = flaw


def encode_frame(content: dict[str, Any]) -> bytes:
    """Raises `Refused` with MALFORMED_FRAME for a content that the other side would not take."""
    try:
        payload = pack(content)
    except Malformed as error:
        raise Refused(Code.MALFORMED_FRAME, f"a message cannot be sent: {error}") from error
    if len(payload) > FRAME_BYTES_MAX:
        text = f"a message of {len(payload)} bytes cannot be sent: the limit is {FRAME_BYTES_MAX}"
        raise Refused(Code.MALFORMED_FRAME, text)
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


class FrameDecoder:
    """`feed` it bytes as they come, then take frames with `next_frame` until it says None."""

    def __init__(self, limit_bytes: int = HELLO_BYTES_MAX, items_max: int = ITEMS_MAX) -> None:
        self.limit_bytes = limit_bytes
        self._items_max = items_max
        self._buffer = bytearray()
        self._closed: BadFrame | None = None

    def feed(self, data: bytes) -> None:
        if self._closed is None:
            self._buffer += data

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer)

    @property
    def is_inside_frame(self) -> bool:
        """Some bytes of a frame are here, and the rest is awaited."""
        return bool(self._buffer)

    def next_frame(self) -> dict[str, Any] | None:
        """The next whole frame; None: feed more. Raises `BadFrame`, again and again once it did."""
        if self._closed is not None:
            raise BadFrame(self._closed.flaw, "the connection was given up for it before")
        try:
            return self._next()
        except BadFrame as error:
            self._closed = error
            self._buffer.clear()
            raise

    def end(self) -> None:
        """The other side closed: between two frames, or raises `BadFrame` with TRUNCATED."""
        if self._buffer and self._closed is None:
            self._closed = BadFrame(Flaw.TRUNCATED, f"the connection ended after {len(self._buffer)} bytes of it")
            self._buffer.clear()
            raise self._closed

    def _next(self) -> dict[str, Any] | None:
        if len(self._buffer) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if length > self.limit_bytes:
            raise BadFrame(Flaw.TOO_LONG, f"it claims {length} bytes, and the limit is {self.limit_bytes}")
        if len(self._buffer) < LENGTH_BYTES + length:
            return None
        with memoryview(self._buffer) as whole:
            payload = bytes(whole[LENGTH_BYTES : LENGTH_BYTES + length])
        del self._buffer[: LENGTH_BYTES + length]
        content = unpack_checked(payload, self._items_max)
        if not isinstance(content, dict):
            raise BadFrame(Flaw.NOT_A_MAP, f"it holds a {type(content).__name__}")
        return content


def unpack_checked(payload: bytes, items_max: int = ITEMS_MAX) -> Any:
    """Exactly one msgpack value within every limit, as plain data; else `BadFrame`."""
    check_shape(payload, items_max)
    try:
        return unpack(payload, limit_bytes=FRAME_BYTES_MAX)
    except Malformed as error:  # text that is no UTF-8, keys that are no text: what the shape does not show
        raise BadFrame(Flaw.ILLEGAL, str(error)) from error


# ---------------------------------------------------------------- the shape of a msgpack value

_SCALAR_BYTES = {
    **dict.fromkeys((*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3), 0),
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
}
"""First byte -> how many bytes follow."""

_BLOB_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAY_LENGTH_BYTES = {0xDC: 2, 0xDD: 4}
_MAP_LENGTH_BYTES = {0xDE: 2, 0xDF: 4}


def check_shape(payload: bytes, items_max: int = ITEMS_MAX) -> None:
    """Walks the headers alone, without making an object: depth, number of values, and that all of it is there.

    Raises `BadFrame`. Extension types are not part of the protocol, and refused.
    """
    at = 0
    items = 0
    open_values = [1]  # how many values are still to come, at each level
    while open_values:
        if open_values[-1] == 0:
            open_values.pop()
            continue
        open_values[-1] -= 1
        items += 1
        if items > items_max:
            raise BadFrame(Flaw.TOO_MANY, f"the limit is {items_max}")
        if at >= len(payload):
            raise BadFrame(Flaw.TRUNCATED, "a value is missing")
        at, inside = _step(payload, at)
        if at > len(payload):
            raise BadFrame(Flaw.TRUNCATED, "a value claims more bytes than there are")
        if inside:
            if len(open_values) > DEPTH_MAX:
                raise BadFrame(Flaw.TOO_DEEP, f"the limit is {DEPTH_MAX} levels")
            if inside > len(payload) - at:
                raise BadFrame(Flaw.TRUNCATED, f"it claims {inside} values, and {len(payload) - at} bytes are left")
            open_values.append(inside)
    if at < len(payload):
        raise BadFrame(Flaw.TRAILING, f"{len(payload) - at} of them")


def _step(payload: bytes, at: int) -> tuple[int, int]:
    """Where the header that begins at `at`, with its own bytes, ends; and how many values it then contains."""
    first = payload[at]
    at += 1
    if (size := _SCALAR_BYTES.get(first)) is not None:
        return at + size, 0
    if first <= 0x8F:  # noqa: PLR2004 - fixmap, by the msgpack specification; so are the next two
        return at, 2 * (first & 0x0F)
    if first <= 0x9F:  # noqa: PLR2004
        return at, first & 0x0F
    if first <= 0xBF:  # noqa: PLR2004
        return at + (first & 0x1F), 0
    for table, per_item in ((_BLOB_LENGTH_BYTES, 0), (_ARRAY_LENGTH_BYTES, 1), (_MAP_LENGTH_BYTES, 2)):
        if (size := table.get(first)) is not None:
            count = int.from_bytes(payload[at : at + size], "big")
            return (at + size, per_item * count) if per_item else (at + size + count, 0)
    raise BadFrame(Flaw.ILLEGAL, f"a value begins with 0x{first:02x}")
