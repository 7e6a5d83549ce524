"""One question of DNS for the IPv4 addresses of a name, as resolvers ask it: over UDP, and over TCP what does not fit.

RFC 1035, sections 4.1 and 4.2; what dnsmasq says is read, and not what anybody might.
"""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import IPv4Address
from typing import Final

import anyio

PORT: Final = 53
TYPE_A: Final = 1
CLASS_IN: Final = 1
NXDOMAIN: Final = 3
AGAIN_S: Final = 1.0
"""UDP may be lost: resolvers ask again."""
_HEAD: Final = struct.Struct(">HHHHHH")
_RECORD: Final = struct.Struct(">HHIH")
_RECURSION_WANTED: Final = 0x0100
_TRUNCATED: Final = 0x0200
_CODE: Final = 0x000F
_POINTER: Final = 0xC0
DATAGRAM_MAX: Final = 4096


async def ask(server: str, name: str) -> frozenset[str]:
    """None of them: there is no such name, or it has no IPv4 address. OSError, ValueError: no answer that can be read.
    Waits for ever: who asks has a limit.
    """
    query = _query(name)
    answer = await _by_datagram(server, query)
    if _HEAD.unpack_from(answer)[1] & _TRUNCATED:
        answer = await _by_stream(server, query)
    return addresses(answer)


def _query(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    number = int.from_bytes(os.urandom(2), "big")
    return _HEAD.pack(number, _RECURSION_WANTED, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", TYPE_A, CLASS_IN)


async def _by_datagram(server: str, query: bytes) -> bytes:
    async with await anyio.create_connected_udp_socket(server, PORT, family=socket.AF_INET) as udp:
        while True:
            await udp.send(query)
            with anyio.move_on_after(AGAIN_S):
                while (answer := await udp.receive())[:2] != query[:2] or len(answer) < _HEAD.size:
                    pass
                return answer


async def _by_stream(server: str, query: bytes) -> bytes:
    async with await anyio.connect_tcp(server, PORT) as tcp:
        await tcp.send(len(query).to_bytes(2, "big") + query)
        said = b""
        while len(said) < 2 or len(said) < 2 + int.from_bytes(said[:2], "big"):  # noqa: PLR2004 - the length itself
            said += await tcp.receive(DATAGRAM_MAX)
        return said[2:]


def addresses(answer: bytes) -> frozenset[str]:
    """ValueError: it is no answer, or a refusal."""
    try:
        _, flags, questions, answers, _, _ = _HEAD.unpack_from(answer)
        if flags & _CODE not in (0, NXDOMAIN):
            raise ValueError(f"it answered with the code {flags & _CODE}")
        at, found = _HEAD.size, set()
        for _ in range(questions):
            at = _after_name(answer, at) + 4
        for _ in range(answers):
            at = _after_name(answer, at)
            kind, _, _, length = _RECORD.unpack_from(answer, at)
            at += _RECORD.size
            if kind == TYPE_A:
                found.add(str(IPv4Address(struct.unpack_from("4s", answer, at)[0])))
            at += length
    except (struct.error, IndexError) as error:
        raise ValueError("it answered with what is no DNS") from error
    return frozenset(found)


def _after_name(answer: bytes, at: int) -> int:
    while answer[at]:
        if answer[at] >= _POINTER:
            return at + 2
        at += answer[at] + 1
    return at + 1
