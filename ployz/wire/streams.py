"""Streams beside the actors: a ticket lets one program on one machine write into one program on another.

The protocol's values only. The sender connects, shows its token, and hears how much of the stream the receiver has.
Then it sends pieces, and the receiver says what it has taken. A connection may break: both programs live on, the sender
connects again, and goes on from there. In the end the receiver says what its program said and how many bytes it took.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import field, frozen

from ployz.errors import Code, Failed
from ployz.strict import Malformed, make_converter, pack, structure, unpack

MAGIC = b"ployz/s3"
GIVE_UP = b"ployz/x2"
"""Instead of MAGIC: there will be no more of this stream, and what came is not the whole."""
TOKEN_BYTES = 32
HEADER_BYTES = len(MAGIC) + TOKEN_BYTES
ACCEPTED = b"\x01"
NOT_ACCEPTED = b"\x00"
FINISH_S = 120.0
"""How long the receiving program may take after the last byte: it commits what it received."""
VERDICT_BYTES_MAX = 64 << 10
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
    bytes_count: int
    """Of the stream: both sides agree on this number."""
    duration_ms: int
    again_bytes: int = 0
    """Sent more than once, because connections were lost."""
    links_lost: int = 0
    link_bytes: int = 0
    """What connections were given for it: less where pieces were packed, more where they were sent again."""


@frozen
class Received:
    bytes_count: int
    words: str
    """What the receiving program said on standard error although it succeeded."""


@frozen
class Limit:
    """What all streams of one name may take together, besides what all streams of the machine may."""

    name: str
    bytes_per_s: int | None
    """None: as fast as it goes."""


class Awaited(Protocol):
    """One stream that may come."""

    @property
    def ticket(self) -> Ticket: ...

    async def result(self) -> Received:
        """Waits for the sender, and for the program. Cancelling this cancels the stream.

        Raises `Failed` with STREAM_FAILED: nobody came before the deadline, or again after a connection was lost; the
        program failed; it was broken off.
        """
        ...

    def cancel(self) -> None:
        """Nobody may come any more; a program that runs is killed. Over already is done."""
        ...

    async def end(self) -> None:
        """Cancels, and waits until its program is gone."""
        ...


class Streams(Protocol):
    """Both ends of the streams of one machine, as the actors use them. Adapters: wire/tcp_streams, and a fake."""

    def expect(self, purpose: str, argv: Sequence[str], *, deadline_s: float) -> Awaited:
        """Makes a ticket for one stream into `argv`, good for `deadline_s` until its sender has connected.

        `purpose` is for errors: `receiving production/pgdata`. `Refused` (STREAM_FAILED): too many are open.
        """
        ...

    async def send(
        self,
        ticket: Ticket,
        argv: Sequence[str],
        *,
        patience_s: float,
        limit: Limit | None = None,
        on_progress: Callable[[int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
    ) -> Sent:
        """Runs `argv`, its output going to the ticket's receiver; returns when that has everything.

        A lost connection is made again, and the stream goes on where it stopped, unless nothing moves for `patience_s`.
        `on_progress` gets the bytes that arrived so far, a few times a second; `on_lost` why a connection was lost.
        `Unreachable` (MACHINE_UNREACHABLE): nothing was sent; `Failed` with LINK_LOST: the link did not come back; with
        RECEIVER_GONE: nobody takes the stream any more; with STREAM_FAILED: a program failed, in its words. Cancelled,
        it is broken off.
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
    return pack(_converter.unstructure(verdict))


def decode_verdict(content: bytes) -> Verdict:
    """Raises `Failed` for other bytes."""
    try:
        return structure(_converter, unpack(content, limit_bytes=VERDICT_BYTES_MAX), Verdict)
    except Malformed as error:
        raise failed(f"the receiver's verdict is not one: {error}") from error


def failed(text: str) -> Failed:
    return Failed(Code.STREAM_FAILED, text)


def link_lost(text: str) -> Failed:
    return Failed(Code.LINK_LOST, text)


def receiver_gone(text: str) -> Failed:
    return Failed(Code.RECEIVER_GONE, text)
