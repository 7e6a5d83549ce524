"""Streams beside the actors: a ticket lets one program on one machine write into one program on another.

The protocol's values only. The sender connects, shows its token, gets one byte back, and hands the socket itself to
its program; so does the receiver. A clean end of stream means "the source succeeded"; a failed one is a reset. Then
the receiver says in one frame what its program said and how many bytes it took.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import field, frozen

from ployz.errors import Code, Failed
from ployz.strict import Malformed, make_converter, structure
from ployz.wire.frames import FrameDecoder, encode_frame

MAGIC = b"ployz/s1"
TOKEN_BYTES = 32
HEADER_BYTES = len(MAGIC) + TOKEN_BYTES
ACCEPTED = b"\x01"
NOT_ACCEPTED = b"\x00"
FINISH_S = 120.0
"""How long the receiving program may take after the last byte: it commits what it received."""
KERNEL_GRACE_S = 3.0
"""The kernel's timers for a dead link run out this much after a stall is seen here, and told in better words."""
TICK_S = 0.25
"""How often progress is looked at."""


@frozen
class Ticket:
    """The right to open one stream, once. It is a secret between two machines: never logged."""

    address: str
    port: int
    token: bytes = field(repr=False)


@frozen
class Sent:
    """Both sides agree on this number."""

    bytes_count: int
    duration_ms: int


@frozen
class Received:
    bytes_count: int
    words: str
    """What the receiving program said on standard error although it succeeded."""


class Awaited(Protocol):
    """One stream that may come."""

    @property
    def ticket(self) -> Ticket: ...

    async def result(self) -> Received:
        """Waits for the sender, and for the program. Cancelling this cancels the stream.

        Raises `Failed` with STREAM_FAILED: nobody came before the deadline, the program failed, it was broken off.
        """
        ...

    def cancel(self) -> None:
        """Nobody may come any more; a program that runs is killed. Over already is done."""
        ...


class Streams(Protocol):
    """Both ends of the streams of one machine, as the actors use them. Adapters: wire/tcp_streams, and a fake."""

    def expect(self, purpose: str, argv: Sequence[str], *, deadline_s: float) -> Awaited:
        """Makes a ticket for one stream into `argv`, good for `deadline_s` until its sender has connected.

        `purpose` is for errors: `receiving production/pgdata`. `Refused` (STREAM_FAILED): too many are open.
        """
        ...

    async def send(
        self, ticket: Ticket, argv: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Sent:
        """Runs `argv`, its output going to the ticket's receiver; returns when that has everything.

        `on_progress` gets the bytes that arrived so far, a few times a second. `Unreachable` (MACHINE_UNREACHABLE):
        nothing was sent; `Failed` (STREAM_FAILED), with the words of the side that failed. Cancelled, it is broken off.
        """
        ...


@frozen
class Verdict:
    """The receiver's last word: exit code 0 and an empty `problem` mean that it has everything."""

    bytes_count: int
    exit_code: int
    problem: str
    words: str


_converter = make_converter()


def encode_verdict(verdict: Verdict) -> bytes:
    return encode_frame(_converter.unstructure(verdict))


class VerdictDecoder:
    """Feed it what the receiver sends; `take` gives the verdict once it is whole. Raises `Refused` for other bytes."""

    def __init__(self) -> None:
        self._frames = FrameDecoder()

    def feed(self, data: bytes) -> None:
        self._frames.feed(data)

    def take(self) -> Verdict | None:
        content = self._frames.next_frame()
        if content is None:
            return None
        try:
            return structure(_converter, content, Verdict)
        except Malformed as error:
            raise failed(f"the receiver's verdict is not one: {error}") from error


def failed(text: str) -> Failed:
    return Failed(Code.STREAM_FAILED, text)
