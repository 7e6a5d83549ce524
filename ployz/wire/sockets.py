"""What the wire asks of the kernel about a connected socket: who is there, and whether it still is.

A cut link sends nothing, not even an error: without the kernel's timers a connection waits for hours.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import Any

import anyio
from attrs import frozen

_SO_PEERGROUPS = 59
"""Since Linux 4.13; Python has no name for it. The list of a process in /proc could be that of another one by now."""
_GROUPS_BYTES = 1024
"""The most that Python takes: 256 groups."""


IsMembers = Callable[[str], bool]
"""Whether an address is the overlay address of a member."""


@frozen
class Credentials:
    pid: int
    uid: int
    groups: frozenset[int]
    """Its own and its supplementary ones, by number."""


def raw_socket(stream: anyio.TypedAttributeProvider) -> socket.socket:
    """The socket under an anyio stream or listener; still owned by that."""
    raw: Any = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - anyio's, nothing of Django's
    return raw  # type: ignore[no-any-return]


def comes_from(is_members: IsMembers, stream: anyio.TypedAttributeProvider) -> bool:
    """Whether the address at the other end of a TCP connection is a member's. Who is gone already came from nowhere."""
    try:
        return is_members(raw_socket(stream).getpeername()[0].partition("%")[0])
    except OSError:
        return False


def peer_credentials(raw: socket.socket) -> Credentials:
    """Of the process at the other end of a unix socket, as they were when it connected."""
    pid, uid, gid = struct.unpack("3i", raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    try:
        groups = raw.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        groups = b""  # somebody in more groups than Python reads: only the own one counts
    return Credentials(pid, uid, frozenset({gid, *struct.unpack(f"{len(groups) // 4}i", groups)}))


def watch_link(raw: socket.socket, *, give_up_s: float) -> None:
    """The connection breaks about `give_up_s` after the other side last acknowledged anything, idle or not."""
    probe_s = max(1, int(give_up_s / 3))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, probe_s)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, probe_s)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(give_up_s * 1000))
