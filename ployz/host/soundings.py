"""Packets that only ask whether they arrive: of which sizes, and whether anybody is there at all.

The kernel of the other machine answers, whatever becomes of its ployzd.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final

import anyio

from ployz.errors import Code, Failed

TRIES: Final = 3
"""A packet may be lost, and an echo on a busy machine be late."""
PAUSE_S: Final = 0.3
BREATH_S: Final = 0.002
_HEADERS_BYTES: Final = 40 + 8
"""Of IPv6, and of an echo."""
_ECHO = struct.Struct("!BBHHH")
"""Type, code, checksum (the kernel's word), identifier, sequence number (RFC 4443, 4.1). The number is the size."""
_REQUEST, _REPLY = 128, 129
_RECEIVE_BUFFER: Final = 33
"""SO_RCVBUFFORCE: asm-generic/socket.h."""
_RECEIVE_BUFFER_BYTES: Final = 4 << 20
"""All machines of a large cluster answer in one moment."""
_AT_ONCE: Final = 32
"""Packets, before others have their turn: a machine's own queues are not endless."""
_FILTER: Final = 1
_DISCOVER: Final = 23
_DISCOVER_PROBE: Final = 3
_DONT_FRAGMENT: Final = 62
"""ICMP6_FILTER, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, IPV6_DONTFRAG: linux/icmpv6.h, linux/in6.h."""
DISCARD_PORT: Final = 9


class SocketSoundings:
    async def sizes_answered(
        self, asked: Mapping[str, Collection[int]], *, timeout_s: float
    ) -> Mapping[str, frozenset[int]]:
        """`Failed` (PART_FAILED): this process may not ask."""
        answered: dict[str, set[int]] = {address: set() for address in asked}
        try:
            with _echo_socket() as raw, anyio.move_on_after(timeout_s):
                await _ask(raw, asked, answered)
        except OSError as error:
            text = f"no packet could be sent to see whether it arrives: {error.strerror}"
            raise Failed(Code.PART_FAILED, text) from error
        return {address: frozenset(sizes) for address, sizes in answered.items()}

    async def poke(self, address: str) -> None:
        """A datagram that nobody waits for: something comes back, if only that nobody does."""
        with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.sendto(b"", (address, DISCARD_PORT))


async def _ask(raw: socket.socket, asked: Mapping[str, Collection[int]], answered: Mapping[str, set[int]]) -> None:
    identifier = int.from_bytes(os.urandom(2))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_send, raw, asked, answered, identifier)
        while any(answered[address] < set(sizes) for address, sizes in asked.items()):
            await anyio.wait_readable(raw)
            _receive(raw, asked, answered, identifier)
        tasks.cancel_scope.cancel()


def _echo_socket() -> socket.socket:
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    raw.setblocking(False)
    raw.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER, _RECEIVE_BUFFER_BYTES)
    but_replies = bytearray(b"\xff" * 32)
    word, bit = divmod(_REPLY, 32)
    struct.pack_into("=I", but_replies, 4 * word, 0xFFFFFFFF & ~(1 << bit))
    raw.setsockopt(socket.IPPROTO_ICMPV6, _FILTER, bytes(but_replies))
    # Past what the kernel knows of the way: what it believes is in question.
    raw.setsockopt(socket.IPPROTO_IPV6, _DISCOVER, _DISCOVER_PROBE)
    raw.setsockopt(socket.IPPROTO_IPV6, _DONT_FRAGMENT, 1)
    return raw


async def _send(
    raw: socket.socket, asked: Mapping[str, Collection[int]], answered: Mapping[str, set[int]], identifier: int
) -> None:
    for _ in range(TRIES):
        missing = [
            (address, size) for address, sizes in asked.items() for size in sizes if size not in answered[address]
        ]
        for at, (address, size) in enumerate(missing):
            await _send_one(raw, address, size, identifier)
            if at % _AT_ONCE == _AT_ONCE - 1:
                await anyio.sleep(BREATH_S)
        await anyio.sleep(PAUSE_S)


async def _send_one(raw: socket.socket, address: str, size: int, identifier: int) -> None:
    echo = _ECHO.pack(_REQUEST, 0, 0, identifier, size) + bytes(size - _HEADERS_BYTES)
    try:
        raw.sendto(echo, (address, 0))
    except BlockingIOError:
        await anyio.wait_writable(raw)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise
        # too large for the interface, or nothing leads there: it is not answered


def _receive(
    raw: socket.socket, asked: Mapping[str, Collection[int]], answered: Mapping[str, set[int]], identifier: int
) -> None:
    while True:
        try:
            data, (address, *_) = raw.recvfrom(65536)
        except OSError:
            return
        if len(data) < _ECHO.size or address not in asked:
            continue
        _, _, _, whose, size = _ECHO.unpack_from(data)
        if whose == identifier and size in asked[address] and len(data) + 40 == size:
            answered[address].add(size)
