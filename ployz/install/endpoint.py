"""The endpoint of a machine: where the others reach its WireGuard."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from ployz.errors import Code, Usage

PORT_MAX: Final = 65535


def endpoint(text: str) -> str:
    """`192.0.2.7:51820` or `[2001:db8::7]:51820`, in its usual spelling. `Usage`: it is something else."""
    host, _, port = text.rpartition(":")
    address = _address(host)
    if address is None or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) <= PORT_MAX:
        advice = "Write an IP address and a port: 192.0.2.7:51820 or [2001:db8::7]:51820."
        raise Usage(Code.USAGE, f"{text[:80]!r} is no endpoint", advice)
    if address.is_unspecified or address.is_multicast:
        raise Usage(Code.USAGE, f"no machine has the address {address}", "Give the one that other machines reach.")
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"  # noqa: PLR2004 - IPv6


def _address(host: str) -> IPv4Address | IPv6Address | None:
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        found = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return None
    # A bare IPv6 address and its port cannot be told apart.
    return found if bracketed == isinstance(found, IPv6Address) else None
