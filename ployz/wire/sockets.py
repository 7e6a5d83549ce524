"""What the wire asks of the kernel about a connected socket: who is there, whether it still is, what has passed.

A cut link sends nothing, not even an error: without the kernel's timers a connection waits for hours.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from attrs import frozen

from ployz.wire.message import Operator


def raw_socket(stream: anyio.TypedAttributeProvider) -> socket.socket:
    """The socket under an anyio stream or listener; still owned by that."""
    raw: Any = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - anyio's, nothing of Django's
    return raw  # type: ignore[no-any-return]


def peer_credentials(raw: socket.socket) -> Operator:
    """The process at the other end of a unix socket, as it was when it connected."""
    pid, uid, _gid = struct.unpack("3i", raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return Operator(pid, uid)


def watch_link(raw: socket.socket, *, give_up_s: float) -> None:
    """The connection breaks about `give_up_s` after the other side last acknowledged anything, idle or not."""
    probe_s = max(1, int(give_up_s / 3))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, probe_s)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, probe_s)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(give_up_s * 1000))


@contextmanager
def lent_to_a_program(raw: socket.socket) -> Iterator[None]:
    """Blocking, as programs expect it, for as long as one holds it. Blocking is a property of the open socket, which
    both share: until this ends, the event loop must not read or write here, or it stands still.
    """
    raw.setblocking(True)
    try:
        yield
    finally:
        raw.setblocking(False)


# ---------------------------------------------------------------- what TCP counted

_STATE_FIN_WAIT2 = 5
_STATE_CLOSE = 7
_STATE_CLOSE_WAIT = 8
_TCP_INFO_BYTES = 256
_COUNTS_AT = 120  # tcpi_bytes_acked, tcpi_bytes_received in struct tcp_info, linux/tcp.h: there since Linux 4.1


@frozen
class TcpCounts:
    """Exact counts of one connection. TCP numbers the two ends of a stream too: a connecting side's start counts as
    one acknowledged byte, and so does each end, once acknowledged or received.
    """

    acknowledged: int
    received: int
    unread: int
    """Received, and not read by any program yet."""
    end_acknowledged: bool
    """This side has half-closed, and the other side has all of it; it has not closed itself yet."""
    end_received: bool
    """The other side has half-closed: what came is whole."""
    was_reset: bool
    """Broken off by the other side or by the kernel's timers. Meaningless once both sides have closed."""


def tcp_counts(raw: socket.socket) -> TcpCounts:
    info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    acknowledged, received = struct.unpack_from("QQ", info, _COUNTS_AT)
    (unread,) = struct.unpack("i", fcntl.ioctl(raw, termios.FIONREAD, bytes(4)))
    return TcpCounts(
        acknowledged,
        received,
        unread,
        end_acknowledged=info[0] == _STATE_FIN_WAIT2,
        end_received=info[0] == _STATE_CLOSE_WAIT,
        was_reset=info[0] == _STATE_CLOSE,
    )
