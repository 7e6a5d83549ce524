"""What is asked of a process that has a program loaded, and what it answers. Imports nothing of ployz.

Also a program itself, which stands for the one that is asked for: its files and its exit code are those of that one.

    python -I -S request.py SOCKET PID ARGUMENT…
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

MESSAGE_MAX = 1 << 20
FILES = 3


def ask(
    place: str,
    pid: int,
    argv: Sequence[str],
    environment: Mapping[str, str],
    files: Sequence[int],
    *,
    detached: bool = False,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """`{"exit_code": …}` as a shell counts it; `detached`: `{"pid": …}` as the machine counts, once it is started.

    `place`: of the socket. `pid`: of a process in the machine. `files`: standard input, output and error. Whoever hangs
    up, also by `TimeoutError`, has the program killed.
    """
    folder = "/" if detached else os.getcwd()  # noqa: PTH109 - a start without pathlib is a quick one
    request = {"pid": pid, "argv": [*argv], "environment": {**environment}, "folder": folder, "detached": detached}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.settimeout(timeout_s)
        server.connect(place)
        socket.send_fds(server, [json.dumps(request).encode()], [*files])
        said = server.recv(MESSAGE_MAX)
    if not said:
        raise ConnectionResetError("it ended without an answer")
    answer: dict[str, Any] = json.loads(said)
    return answer


if __name__ == "__main__":
    sys.exit(ask(sys.argv[1], int(sys.argv[2]), sys.argv[3:], os.environ, range(FILES))["exit_code"])
