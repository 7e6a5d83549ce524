"""A resolver's question, and a name server that has one answer for all: enough of DNS to test with, in plain Python.

Also a program, for asking from inside a machine: `python tests/dns.py SERVER NAME A|AAAA` prints an `Answer` as JSON.
"""

import json
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from threading import Thread

TYPES = {"A": 1, "AAAA": 28}
NXDOMAIN = 3
ELSEWHERE = "203.0.113.7"


@dataclass(frozen=True)
class Answer:
    code: int
    """0: there is such a name; 3: there is none."""
    addresses: list[str]
    ttls: list[int]


TRY_S, TRIES = 1.0, 10


def ask(server: str, name: str, kind: str = "A") -> Answer:
    """Over UDP, again where nothing comes, as resolvers do; no answer at all is a TimeoutError."""
    question = b"".join(struct.pack("B", len(label)) + label.encode() for label in name.split(".")) + b"\0"
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", TYPES[kind], 1)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TRY_S)
        for _ in range(TRIES):
            sock.sendto(query, (server, 53))
            with suppress(TimeoutError):
                return _read(sock.recv(4096), TYPES[kind])
    raise TimeoutError(f"{server} says nothing about {name}")


def _read(data: bytes, wanted: int) -> Answer:
    _, flags, questions, answers, _, _ = struct.unpack_from(">HHHHHH", data)
    at = 12
    for _ in range(questions):
        at = _after_name(data, at) + 4
    addresses, ttls = [], []
    for _ in range(answers):
        at = _after_name(data, at)
        kind, _, ttl, length = struct.unpack_from(">HHIH", data, at)
        at += 10
        if kind == wanted:
            family = socket.AF_INET if kind == TYPES["A"] else socket.AF_INET6
            addresses.append(socket.inet_ntop(family, data[at : at + length]))
            ttls.append(ttl)
        at += length
    return Answer(flags & 15, sorted(addresses), ttls)


def _after_name(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] >= 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


@contextmanager
def answering_everything(address: str) -> Iterator[list[str]]:
    """A name server that gives ELSEWHERE for every name, and remembers which it was asked for."""
    asked: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        thread = Thread(target=_answer_all, args=(sock, asked), daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (address, 53))
            thread.join()


def _answer_all(sock: socket.socket, asked: list[str]) -> None:
    while True:
        data, sender = sock.recvfrom(4096)
        if not data:
            return
        end = _after_name(data, 12)
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += data[at] + 1
        asked.append(".".join(labels))
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + data[12 : end + 4]
        answer = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(ELSEWHERE)
        sock.sendto(head + answer, sender)


if __name__ == "__main__":
    print(json.dumps(asdict(ask(*sys.argv[1:4]))))  # noqa: T201 - a program's answer
