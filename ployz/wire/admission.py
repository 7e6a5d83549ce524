"""Who gets a place at a listener, and how much it holds for them: by what they have proven, not by what they say.

Plain counting: no sockets, no clock. Each listener has an `Admission` of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from attrs import field, frozen

from ployz.errors import Code, Refused
from ployz.wire.frames import FRAME_BYTES_MAX, HELLO_BYTES_MAX
from ployz.wire.message import READER, Newcomer, Sender
from ployz.wire.session import IN_FLIGHT_MAX

_MIB: Final = 1 << 20
NEIGHBOURHOOD_BITS: Final = 64
"""Of IPv6: whoever has one address of such a network has all of them."""


@frozen
class Bounds:
    """Of one listener."""

    connections_max: int
    per_source_max: int
    """Of one user, or of one address."""
    kept: int = 0
    """Places that are for root alone."""
    strangers_bytes_max: int = 16 * _MIB
    """What all connections of strangers have sent together, and has not been answered."""
    trusted_bytes_max: int = 128 * _MIB


OPERATORS: Final = Bounds(connections_max=512, per_source_max=32, kept=64)
PEERS: Final = Bounds(connections_max=512, per_source_max=64)
"""A member has one connection; while a link is bad, some that are about to be given up. But any user of its machine
comes from its address as well, and is put out only when TLS does not know them."""
STREAMS: Final = Bounds(connections_max=512, per_source_max=288)
"""One member may send every stream that is awaited, and has lost connections beside them."""
NEWCOMERS: Final = Bounds(connections_max=16, per_source_max=4, strangers_bytes_max=1 * _MIB)


@frozen
class Allowance:
    """What one connection may send, once it is known whose it is."""

    frame_bytes_max: int
    in_flight_max: int
    """Requests without an answer yet."""
    requests_max: int | None = None
    """In all. None: any number."""


_TRUSTED: Final = Allowance(FRAME_BYTES_MAX, IN_FLIGHT_MAX)
_READER: Final = Allowance(4 * _MIB + HELLO_BYTES_MAX, 8)
"""Room for a file that is no manifest, so that the answer can say so: ployzctl reads 4 MiB of one at most."""
_NEWCOMER: Final = Allowance(HELLO_BYTES_MAX, 1, requests_max=1)
"""An invitation and a certificate are some 3 KiB, and are shown once."""


def allowance_of(sender: Sender) -> Allowance:
    if isinstance(sender, Newcomer):
        return _NEWCOMER
    return _READER if sender.origin is READER else _TRUSTED


class Admission:
    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._open: Counter[str] = Counter()
        self._strangers = Budget(bounds.strangers_bytes_max)
        self._trusted = Budget(bounds.trusted_bytes_max)

    @contextmanager
    def place(self, source: str, *, is_root: bool = False) -> Iterator[None]:
        """One connection's. `Refused` (MAILBOX_FULL): `source` has its share, or all places are taken."""
        free = self._bounds.connections_max - self._open.total()
        if not is_root and self._open[source] >= self._bounds.per_source_max:
            text = f"{source} has {self._open[source]} connections, which is the most"
            raise Refused(Code.MAILBOX_FULL, text, "Try again in a moment.")
        if free <= (0 if is_root else self._bounds.kept):
            text = f"{self._open.total()} connections are open, which is the most"
            raise Refused(Code.MAILBOX_FULL, text, "Try again in a moment.")
        self._open[source] += 1
        try:
            yield
        finally:
            self._open[source] -= 1
            if not self._open[source]:
                del self._open[source]

    def budget(self, *, trusted: bool) -> Budget:
        return self._trusted if trusted else self._strangers


@frozen(eq=False)
class Budget:
    """Bytes that are held for several connections together."""

    bytes_max: int
    _held: Counter[object] = field(factory=Counter, init=False)

    def hold(self, owner: object, size_bytes: int) -> None:
        """From here on so much for `owner`, instead of what it had. `Refused` (MAILBOX_FULL): it had to be given up."""
        self._held[owner] = size_bytes
        if not size_bytes:
            del self._held[owner]
        elif self._held.total() > self.bytes_max:
            del self._held[owner]
            raise Refused(Code.MAILBOX_FULL, f"more than {self.bytes_max >> 20} MiB wait to be read", "Try again.")


def neighbourhood(address: str) -> str:
    """What one sender of a network has at least: an IPv4 address, a /64 of IPv6."""
    if not address:
        return ""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((int(parsed), NEIGHBOURHOOD_BITS), strict=False))
    return str(parsed)
