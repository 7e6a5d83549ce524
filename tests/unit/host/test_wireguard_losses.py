from __future__ import annotations

import struct

import pytest

from ployz.host.wireguard.losses import is_loss

OURS, ANOTHER = 7, 9


def message(kind: int, body: bytes) -> bytes:
    """As netlink writes it: header, body, filled up to 4 bytes."""
    whole = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return whole + bytes(-len(whole) % 4)


def link(kind: int, index: int, flags: int) -> bytes:
    return message(kind, struct.pack("=BxHiII", 0, 1, index, flags, 0))


def address(kind: int, index: int) -> bytes:
    return message(kind, struct.pack("=BBBBI", 2, 32, 0, 0, index))


def route(kind: int, index: int) -> bytes:
    destination = struct.pack("=HH4s", 8, 1, bytes([10, 78, 0, 13]))
    return message(kind, bytes(12) + destination + struct.pack("=HHI", 8, 4, index))


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        (link(17, OURS, 1), True),
        (link(16, OURS, 0), True),
        (link(16, OURS, 1), False),
        (link(17, ANOTHER, 1), False),
        (address(21, OURS), True),
        (address(20, OURS), False),
        (address(21, ANOTHER), False),
        (route(25, OURS), True),
        (route(24, OURS), False),
        (route(25, ANOTHER), False),
        (link(16, ANOTHER, 0) + route(25, OURS), True),
        (message(0xA08, b"filter\0PLOYZ-FORWARD\0"), True),
        (message(0xA02, b"ployz_ports\0"), True),
        (message(0xA08, b"nat\0DOCKER\0"), False),
        (message(0xA06, b"PLOYZ-FORWARD\0"), False),
        (b"", False),
        (bytes(40), False),
        (route(25, OURS)[:20], False),
        (struct.pack("=IHHII", 0, 25, 0, 0, 0) + bytes(3), False),
    ],
)
def test_what_goes_of_ployz_s_own_is_a_loss_and_nothing_else_is(data: bytes, *, loss: bool) -> None:
    assert is_loss(data, {OURS}) is loss
