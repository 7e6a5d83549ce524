"""Tells the containers on a bridge that addresses are behind this host now: gratuitous ARP, unsolicited NA.

A container that spoke to a neighbour believes its hardware address for up to a minute after the neighbour moved away.
Run as a program of its own (by path, so that it starts without the package): BRIDGE ADDRESS...
"""

from __future__ import annotations

import socket
import struct
import sys

_BROADCAST = b"\xff" * 6
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")


def frame(mac: bytes, address: str) -> bytes:
    """The Ethernet frame that says: `address` is at `mac`."""
    return _neighbour_advertisement(mac, address) if ":" in address else _gratuitous_arp(mac, address)


def _gratuitous_arp(mac: bytes, address: str) -> bytes:
    """RFC 5227, 3: a request in which sender and target are both this address. It updates who knows it, no others."""
    ip = socket.inet_pton(socket.AF_INET, address)
    ethernet_ipv4_request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return _BROADCAST + mac + b"\x08\x06" + ethernet_ipv4_request + mac + ip + b"\0" * 6 + ip


def _neighbour_advertisement(mac: bytes, address: str) -> bytes:
    """RFC 4861, 7.2.6: unsolicited, to all nodes, with the override flag: what was cached is replaced."""
    ip = socket.inet_pton(socket.AF_INET6, address)
    override = 0x20000000
    target_link_layer_option = b"\x02\x01" + mac
    payload = struct.pack("!I", override) + ip + target_link_layer_option
    length = 4 + len(payload)
    pseudo_header = ip + _ALL_NODES + struct.pack("!II", length, socket.IPPROTO_ICMPV6)
    advertisement = 136
    checksum = _checksum(pseudo_header + struct.pack("!BBH", advertisement, 0, 0) + payload)
    icmp = struct.pack("!BBH", advertisement, 0, checksum) + payload
    hop_limit = 255  # anything less came through a router and is not believed
    header = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_ICMPV6, hop_limit) + ip + _ALL_NODES
    return _ALL_NODES_MAC + mac + b"\x86\xdd" + header + icmp


def _checksum(content: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def main(bridge: str, *addresses: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((bridge, 0))
        mac = wire.getsockname()[4]
        for address in addresses:
            wire.send(frame(mac, address))


if __name__ == "__main__":
    main(*sys.argv[1:])
