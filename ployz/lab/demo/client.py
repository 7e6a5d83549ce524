"""One client of the database: commits a row, waits for the acknowledgement, writes it down, and goes on with the next.

Run by path in a lab machine, on the standard library alone: `client.py ADDRESS NUMBER`. Speaks PostgreSQL's protocol
itself, so that it knows exactly what was acknowledged. A row whose outcome is unknown is never sent again. Prints `N
MICROSECONDS` for each acknowledged row, and ends when its standard input does.
"""

# ruff: noqa: T201 - its lines are its record

import select
import socket
import struct
import sys
import time

PORT = 5432
PROTOCOL = 196608
CONNECT_S = 0.25
ANSWER_S = 2.0
PAUSE_S = 0.005
"""Between two rows, so that a few clients do not take the whole machine."""
RETRY_S = 0.02


class Refused(Exception):
    """The server answered with an error."""


class Connection:
    def __init__(self, address: str) -> None:
        self._socket = socket.create_connection((address, PORT), timeout=CONNECT_S)
        try:
            self._socket.settimeout(ANSWER_S)
            self._incoming = self._socket.makefile("rb")
            names = b"user\0postgres\0database\0app\0\0"
            self._socket.sendall(struct.pack("!II", 8 + len(names), PROTOCOL) + names)
            self._wait_until_ready()
        except BaseException:
            self._socket.close()
            raise

    def run(self, statement: str) -> None:
        """Returns when it is committed and acknowledged."""
        text = statement.encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack("!I", 4 + len(text)) + text)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        problem = None
        while True:
            kind, length = struct.unpack("!cI", self._exactly(5))
            body = self._exactly(length - 4)
            if kind == b"E":
                problem = body
            if kind == b"Z":
                break
        if problem is not None:
            raise Refused(problem.decode(errors="replace").replace("\0", " "))

    def _exactly(self, size: int) -> bytes:
        data = self._incoming.read(size)
        if len(data) != size:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self) -> None:
        self._incoming.close()
        self._socket.close()


def main() -> None:
    address, client = sys.argv[1], int(sys.argv[2])
    number = 0
    while not ended():
        try:
            connection = Connection(address)
        except (OSError, Refused):
            time.sleep(RETRY_S)
            continue
        try:
            while not ended():
                number += 1
                connection.run(f"INSERT INTO acknowledged VALUES ({client}, {number})")  # noqa: S608 - two integers of ours
                print(number, time.time_ns() // 1000, flush=True)
                time.sleep(PAUSE_S)
        except (OSError, Refused):
            pass
        finally:
            connection.close()


def ended() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


if __name__ == "__main__":
    main()
