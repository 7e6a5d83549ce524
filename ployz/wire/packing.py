"""Whether the pieces of a stream are packed, by what was measured on those before: `pays` is the decision, and pure.

Each piece is packed for itself, or not at all, and says so. So offsets, the window and the ends count the bytes of the
stream, as if nothing were packed, and a connection that breaks leaves no half of anything.
"""

from __future__ import annotations

import zlib
from typing import Final

import anyio
import anyio.to_thread
from attrs import define, evolve, frozen

from ployz.wire.stream_link import PIECE_BYTES, Kind, LinkLost

LEVEL: Final = 1
"""The quickest: what a link has to be slower than for this to pay."""
GAIN: Final = 0.9
"""The most that a byte may take packed, of what it takes as it is. Less would be a processor's time for nothing."""
FIRST_BYTES: Final = 16 << 20
"""Of the beginning goes into buffers, and says nothing about the link."""
MEASURED_BYTES: Final = 8 << 20
TRIED_BYTES: Final = 1 << 20
"""The last of those that are measured are packed too, to see what that would be."""
AGAIN_BYTES: Final = 256 << 20
"""After so much it is measured again: what a volume holds differs from place to place."""


@frozen
class Measured:
    """Of pieces that went as they are."""

    sent_bytes: int = 0
    send_s: float = 0.0
    """In which the link, or a limit on it, was waited for."""
    tried_bytes: int = 0
    packed_bytes: int = 0
    """What became of those."""
    pack_s: float = 0.0


def pays(found: Measured) -> bool:
    """A link that is not waited for has nothing to gain, nor has what does not shrink."""
    if not found.sent_bytes or not found.tried_bytes:
        return False
    send_s = found.send_s / found.sent_bytes
    packed_s = found.pack_s / found.tried_bytes + send_s * found.packed_bytes / found.tried_bytes
    return packed_s < GAIN * send_s


@define(eq=False)
class Packing:
    """Of the streams that share a way: what is known after one holds for the next."""

    is_on: bool = False
    _left_bytes: int = FIRST_BYTES
    """Until the next change of what is done."""
    _measured: Measured | None = None
    """None: nothing is measured just now."""

    async def pack(self, piece: bytes) -> tuple[Kind, bytes]:
        """What goes over the link for this piece."""
        tries = self._measured is not None and self._left_bytes <= TRIED_BYTES
        if not self.is_on and not tries:
            return Kind.CONTENT, piece
        began_s = anyio.current_time()
        packed = await anyio.to_thread.run_sync(zlib.compress, piece, LEVEL)
        if self._measured is not None:
            self._measured = evolve(
                self._measured,
                tried_bytes=self._measured.tried_bytes + len(piece),
                packed_bytes=self._measured.packed_bytes + len(packed),
                pack_s=self._measured.pack_s + anyio.current_time() - began_s,
            )
        return (Kind.PACKED, packed) if self.is_on and len(packed) < len(piece) else (Kind.CONTENT, piece)

    def sent(self, piece_bytes: int, took_s: float) -> None:
        """The piece is with the link, which was waited for so long."""
        if self._measured is not None:
            self._measured = evolve(
                self._measured,
                sent_bytes=self._measured.sent_bytes + piece_bytes,
                send_s=self._measured.send_s + took_s,
            )
        self._left_bytes -= piece_bytes
        if self._left_bytes > 0:
            return
        if self._measured is None:
            self.is_on, self._measured, self._left_bytes = False, Measured(), MEASURED_BYTES
        else:
            self.is_on, self._measured, self._left_bytes = pays(self._measured), None, AGAIN_BYTES


def unpacked(content: memoryview) -> memoryview:
    """Of a `PACKED` piece. `LinkLost`: it is none, or larger than a piece may be."""
    reader = zlib.decompressobj()
    try:
        piece = reader.decompress(content, PIECE_BYTES)
    except zlib.error as error:
        raise LinkLost("what came over it is no stream") from error
    if not reader.eof or reader.unused_data:
        raise LinkLost("what came over it is no stream")
    return memoryview(piece)
