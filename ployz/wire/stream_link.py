"""One connection of a stream, as both ends see it: pieces, whole or not at all.

A connection that breaks is not the end of its stream. Whatever breaks it is `LinkLost`, and only the ends know what
had arrived by then.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from enum import IntEnum

import anyio
import anyio.lowlevel
from anyio.abc import SocketStream

from ployz.wire.sockets import raw_socket, watch_link

PIECE_BYTES = 512 << 10
"""The most that one piece carries."""
SILENT_S = 8.0
"""A connection over which nothing comes for so long is lost. Both ends say something every TELL_S."""
TELL_S = 1.0

_HEADER = struct.Struct(">BI")
_OFFSET = struct.Struct(">Q")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Kind(IntEnum):
    """What a piece is. The first three come from the sender, `TAKEN` and `VERDICT` from the receiver."""

    CONTENT = 1
    STILL_HERE = 2
    END = 3
    """The source succeeded; with the number of its bytes."""
    TAKEN = 4
    """How many bytes of the stream the receiver has: those need not be sent again."""
    VERDICT = 5
    HEARD = 6
    """From the sender, of the verdict: nobody will ask for it again."""
    PACKED = 7
    """From the sender, like `CONTENT`: it becomes that when it is unpacked."""


_KINDS = frozenset(Kind)


class LinkLost(Exception):
    """The connection broke, or nothing came over it. The text says which."""


class Link:
    """At each end one task reads and one writes."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._raw = raw_socket(stream)
        self._header = memoryview(bytearray(_HEADER.size))
        self._content = memoryview(bytearray())
        """One buffer for all pieces: to allocate one for each costs as much as to copy it."""
        self.closed = anyio.Event()
        watch_link(self._raw, give_up_s=SILENT_S)

    async def read(self) -> tuple[Kind, memoryview]:
        """The next piece; its content is good until the next read."""
        await self._fill(self._header)
        kind, size = _HEADER.unpack(self._header)
        if kind not in _KINDS or size > PIECE_BYTES:
            raise LinkLost("what came over it is no stream")
        if size > len(self._content):
            self._content = memoryview(bytearray(size))
        await self._fill(self._content[:size])
        return Kind(kind), self._content[:size]

    async def read_offset(self, kind: Kind) -> int:
        """The next piece, which must be of this kind."""
        found, content = await self.read()
        if found is not kind:
            raise LinkLost("what came over it is no stream")
        return offset_of(content)

    async def write(self, kind: Kind, content: bytes | memoryview = b"") -> None:
        parts = [memoryview(_HEADER.pack(kind, len(content))), memoryview(content)]
        await anyio.lowlevel.checkpoint()
        while parts:
            try:
                sent = self._raw.sendmsg(parts)
            except BlockingIOError:
                await anyio.wait_writable(self._raw)
                continue
            except OSError as error:
                raise LinkLost(error.strerror or "it broke") from error
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][sent:]

    async def write_offset(self, kind: Kind, offset: int) -> None:
        await self.write(kind, _OFFSET.pack(offset))

    def abandon(self) -> None:
        """The next close drops what the other side has not taken, instead of trying for minutes."""
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def shut_down(self) -> None:
        """Who reads or writes here finds it lost."""
        with suppress(OSError):  # it is already
            self._raw.shutdown(socket.SHUT_RDWR)

    async def aclose(self) -> None:
        self.closed.set()
        await anyio.aclose_forcefully(self._stream)

    async def _fill(self, view: memoryview) -> None:
        await anyio.lowlevel.checkpoint()
        while view:
            try:
                count = self._raw.recv_into(view)
            except BlockingIOError:
                await self._readable()
                continue
            except OSError as error:
                raise LinkLost(error.strerror or "it broke") from error
            if not count:
                raise LinkLost("the other side closed it")
            view = view[count:]

    async def _readable(self) -> None:
        try:
            with anyio.fail_after(SILENT_S):
                await anyio.wait_readable(self._raw)
        except TimeoutError as error:
            raise LinkLost(f"nothing came over it for {SILENT_S:g} s") from error


def offset_of(content: memoryview) -> int:
    """Of a `TAKEN` or an `END`."""
    if len(content) != _OFFSET.size:
        raise LinkLost("what came over it is no stream")
    return int(_OFFSET.unpack(content)[0])
