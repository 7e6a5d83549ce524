"""The kernel's own news that something of the overlay went: an address, a route, a link, a rule of the firewall.

They only say when to look: what is wrong is found by looking. Kernel settings (sysctl) tell nobody of a change.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import anyio
from attrs import define, field

_LINK, _ADDRESSES_4, _ROUTES_4, _ADDRESSES_6, _ROUTES_6 = 0x1, 0x10, 0x40, 0x100, 0x400
"""RTMGRP_*: linux/rtnetlink.h."""
_LINK_CHANGED, _LINK_GONE, _ADDRESS_GONE, _ROUTE_GONE = 16, 17, 21, 25
_UP: Final = 1
_OUT_INTERFACE: Final = 4
"""IFF_UP, RTA_OIF."""
_NETFILTER: Final = 12
_NFTABLES_GROUP: Final = 7
_NFT_GONE: Final = frozenset({0xA02, 0xA05, 0xA08})
"""Of tables, chains and rules: linux/netfilter/nf_tables.h, in the subsystem of nfnetlink that is nf_tables."""
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_OURS: Final = b"ployz"
"""In the name of each table or chain of ployz's own, in small letters or large ones."""
_HEADER = struct.Struct("=IHHII")
_BUFFER_BYTES: Final = 1 << 16


@define
class Losses:
    """`ours` are left out: what the driver itself writes, it need not look for."""

    interfaces: frozenset[str] = frozenset()
    """By name: the overlay's, and the bridge."""
    _indices: set[int] = field(factory=set, init=False)
    """Theirs, also of those that are gone."""
    _sockets: list[socket.socket] = field(factory=list, init=False)
    _writing: int = field(default=0, init=False)

    async def next(self) -> None:
        """`OSError`: this kernel tells nothing."""
        self._sockets = self._sockets or list(_open())
        while True:
            self._indices |= {index for index, name in socket.if_nameindex() if name in self.interfaces}
            await _any_readable(self._sockets)
            if self._drain() and not self._writing:
                return

    @contextmanager
    def ours(self) -> Iterator[None]:
        """The kernel tells what a program changed before that program ends."""
        self._writing += 1
        try:
            yield
        finally:
            self._drain()
            self._writing -= 1

    def _drain(self) -> bool:
        found = False
        for each in self._sockets:
            with suppress(BlockingIOError):
                while True:
                    try:
                        data = each.recv(_BUFFER_BYTES)
                    except BlockingIOError:
                        raise
                    except OSError:  # so many that some were dropped
                        found = True
                    else:
                        found |= is_loss(data, self._indices)
        return found


def is_loss(data: bytes, interfaces: Collection[int]) -> bool:
    """Of one datagram, which has several messages. Those of rtnetlink count by interface, those of nftables by name."""
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        body = data[_HEADER.size : max(length, _HEADER.size)]
        if kind in _NFT_GONE:
            if _OURS in body.lower():
                return True
        elif _interface(kind, body) in interfaces:
            return True
        data = data[(max(length, _HEADER.size) + 3) & ~3 :]
    return False


def _interface(kind: int, body: bytes) -> int | None:
    """By number, of what went. None: nothing did, or of no interface."""
    if kind in (_LINK_CHANGED, _LINK_GONE) and len(body) >= 12:  # noqa: PLR2004 - ifinfomsg
        index, flags = struct.unpack_from("=iI", body, 4)
        return int(index) if kind == _LINK_GONE or not flags & _UP else None
    if kind == _ADDRESS_GONE and len(body) >= 8:  # noqa: PLR2004 - ifaddrmsg
        return int(struct.unpack_from("=I", body, 4)[0])
    if kind == _ROUTE_GONE:
        at = 12  # rtmsg
        while at + 8 <= len(body):
            length, what = struct.unpack_from("=HH", body, at)
            if what == _OUT_INTERFACE:
                return int(struct.unpack_from("=I", body, at + 4)[0])
            at += max(4, (length + 3) & ~3)
    return None


def _open() -> Iterator[socket.socket]:
    groups = _LINK | _ADDRESSES_4 | _ROUTES_4 | _ADDRESSES_6 | _ROUTES_6
    for protocol, mask in ((socket.NETLINK_ROUTE, groups), (_NETFILTER, 0)):
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        opened.setblocking(False)
        opened.bind((0, mask))
        if protocol == _NETFILTER:
            opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES_GROUP)
        yield opened


async def _any_readable(sockets: Collection[socket.socket]) -> None:
    async with anyio.create_task_group() as tasks:

        async def wait(each: socket.socket) -> None:
            await anyio.wait_readable(each)
            tasks.cancel_scope.cancel()

        for each in sockets:
            tasks.start_soon(wait, each)
