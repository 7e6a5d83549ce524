"""Docker's framing of a container's two output streams in one, undone. Pure: bytes in, bytes out.

A frame is one byte for the stream, three zeros, four bytes of length (big endian), and that many bytes of output.
"""

from __future__ import annotations

import struct
from typing import Final

_HEADER: Final = struct.Struct(">BxxxL")


class Tail:
    """Collects the output inside a framed stream, both streams in the order of writing, and keeps its end.

    The end, because that is where a program says why it failed. Memory is bounded by `limit_bytes`, whatever comes.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._header = bytearray()
        self._left_in_frame = 0
        self._output = bytearray()

    def feed(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            if self._left_in_frame == 0:
                view = self._read_header(view)
                continue
            payload = view[: self._left_in_frame]
            self._left_in_frame -= len(payload)
            self._output += payload
            view = view[len(payload) :]
        del self._output[: -self._limit_bytes]

    def _read_header(self, view: memoryview) -> memoryview:
        missing = _HEADER.size - len(self._header)
        self._header += view[:missing]
        if len(self._header) == _HEADER.size:
            _, self._left_in_frame = _HEADER.unpack(self._header)
            self._header.clear()
        return view[missing:]

    @property
    def text(self) -> str:
        """What it is so far. Bytes that are not UTF-8, and a character cut at the front, become marks."""
        return self._output.decode(errors="replace")
