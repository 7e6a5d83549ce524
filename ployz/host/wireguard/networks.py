"""Prints under which number this host's kernel knows the network of each process: ports of a bridge name it so.

`ip` tells it of networks with names alone (RTM_GETNSID, linux/net_namespace.h). Run as a program of its own, because a
socket belongs to the network that it was opened in (by path, so that it starts without the package): PROCESS...
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from contextlib import suppress

_GET, _NEW = 90, 88
_REQUEST = 1
_BY_PROCESS, _NUMBER = 2, 1
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.pack("=Bxxx", socket.AF_UNSPEC)
_ATTRIBUTE = struct.Struct("=HH")


def number(kernel: socket.socket, process: int) -> int | None:
    """None: it has ended, or the kernel has no number for its network."""
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + 4, _BY_PROCESS) + struct.pack("=I", process)
    body = _FAMILY + attribute
    kernel.send(_HEADER.pack(_HEADER.size + len(body), _GET, _REQUEST, 1, 0) + body)
    answer = kernel.recv(4096)
    _, kind, *_ = _HEADER.unpack_from(answer)
    place = _HEADER.size + len(_FAMILY)
    while kind == _NEW and place + _ATTRIBUTE.size <= len(answer):
        length, what = _ATTRIBUTE.unpack_from(answer, place)
        if what == _NUMBER:
            (found,) = struct.unpack_from("=i", answer, place + _ATTRIBUTE.size)
            return int(found) if found >= 0 else None
        place += (length + 3) & ~3
    return None


def main(*processes: str) -> None:
    found: dict[str, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(5)
        for each in processes:
            with suppress(OSError):
                known = number(kernel, int(each))
                if known is not None:
                    found[each] = known
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
