from __future__ import annotations

import struct
from ipaddress import ip_address

from ployz.host.wireguard.announce import frame

MAC = bytes.fromhex("024200000001")


def test_an_ipv4_announcement_is_a_gratuitous_arp_request_to_everybody() -> None:
    sent = frame(MAC, "10.78.0.13")
    address = ip_address("10.78.0.13").packed
    assert sent[:14] == b"\xff" * 6 + MAC + b"\x08\x06"
    assert sent[14:22] == bytes.fromhex("0001080006040001")
    assert sent[22:] == MAC + address + b"\0" * 6 + address


def test_an_ipv6_announcement_is_an_advertisement_that_overrides_what_was_cached() -> None:
    sent = frame(MAC, "fd77:7:0:1::d")
    address = ip_address("fd77:7:0:1::d").packed
    assert sent[:14] == bytes.fromhex("333300000001") + MAC + b"\x86\xdd"
    version, length, protocol, hop_limit = struct.unpack("!IHBB", sent[14:22])
    assert (version >> 28, length, protocol, hop_limit) == (6, 32, 58, 255)
    assert sent[22:54] == address + ip_address("ff02::1").packed
    assert sent[54:56] == b"\x88\0"
    assert sent[58:] == bytes.fromhex("20000000") + address + b"\x02\x01" + MAC


def test_the_checksum_covers_the_pseudo_header() -> None:
    """RFC 1071: summed with the checksum in its place, everything is ones."""
    sent = frame(MAC, "fd77:7:0:1::d")
    summed = sent[22:54] + struct.pack("!II", 32, 58) + sent[54:]
    total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
