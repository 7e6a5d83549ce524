"""One end of a raw pipe between two machines: a socket, and a program that reads or writes it. Nothing else.

Run by path in a lab machine, on the standard library alone: `pipe.py receive ADDRESS PORT CMD…` prints a line when it
listens, and the bytes it took when CMD is done; `pipe.py send ADDRESS PORT CMD…` prints a line when it is connected,
and starts CMD when it is given one.
"""

# ruff: noqa: T201 - its lines are its answers

import socket
import struct
import subprocess
import sys

TCP_INFO_BYTES = 136
BYTES_RECEIVED_AT = 128
"""In the kernel's `struct tcp_info`, which only ever grows at its end."""


def main() -> None:
    side, address, port, *argv = sys.argv[1:]
    {"receive": receive, "send": send}[side](address, int(port), argv)


def receive(address: str, port: int, argv: list[str]) -> None:
    with socket.create_server((address, port), family=socket.AF_INET6) as server:
        print("listening", flush=True)
        connection, _ = server.accept()
    with connection:
        subprocess.run(argv, stdin=connection.fileno(), check=True)
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    (received,) = struct.unpack_from("Q", info, BYTES_RECEIVED_AT)
    print(received, flush=True)


def send(address: str, port: int, argv: list[str]) -> None:
    with socket.create_connection((address, port)) as connection:
        print("connected", flush=True)
        sys.stdin.readline()
        subprocess.run(argv, stdout=connection.fileno(), check=True)


if __name__ == "__main__":
    main()
