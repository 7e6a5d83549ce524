"""The sending end: what a program writes goes to the receiver, over as many connections as it takes.

The program lives on while there is no connection. Whoever fails first, the other end's program is ended too, and the
error has the words of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
from attrs import define, field, frozen

from ployz.errors import Code, Failed, PloyzError, Unreachable
from ployz.wire.pacing import Pace, piece_bytes
from ployz.wire.packing import Packing
from ployz.wire.stream_link import PIECE_BYTES, SILENT_S, TELL_S, Kind, Link, LinkLost, offset_of
from ployz.wire.stream_program import StreamProgram, writing
from ployz.wire.stream_window import Window
from ployz.wire.streams import (
    ACCEPTED,
    FINISH_S,
    GIVE_UP,
    MAGIC,
    TICK_S,
    Sent,
    Ticket,
    Verdict,
    decode_verdict,
    failed,
    link_lost,
    receiver_gone,
)

CONNECT_S = 5.0
GIVE_UP_S = 1.0
RECONNECT_PAUSE_S = 1.0


@frozen
class Sender:
    """How streams leave this machine."""

    stall_s: float
    """A program that writes nothing for this long is taken for dead."""
    patience_s: float
    """How long a stream in which nothing moves waits for its connection."""
    paces: Sequence[Pace] = ()
    source: str | None = None
    """The local address to connect from."""
    packing: Packing = field(factory=Packing)

    async def send(
        self,
        ticket: Ticket,
        argv: Sequence[str],
        *,
        on_progress: Callable[[int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
    ) -> Sent:
        """See `Streams.send`. Nothing is left running, cancelled or not."""
        began_s = anyio.current_time()
        link, taken = await self.open(ticket)
        try:
            async with writing(argv) as program:
                sending = _Sending(self, ticket, program, on_progress or _nobody, on_lost or _nobody)
                verdict = await sending.carry_out(link, taken)
        except BaseException:
            # The receiver keeps its program, for a connection that will not come. It need not hear of this.
            with anyio.CancelScope(shield=True), anyio.move_on_after(GIVE_UP_S):
                await link.aclose()
                await _give_up(ticket, self.source)
            raise
        window = sending.window
        if verdict.bytes_count != window.read:
            raise failed(f"{window.read} bytes were sent, and the receiver took {verdict.bytes_count}")
        duration_ms = round((anyio.current_time() - began_s) * 1000)
        return Sent(window.read, duration_ms, window.again_bytes, sending.links_lost, sending.link_bytes)

    async def open(self, ticket: Ticket) -> tuple[Link, int]:
        """A connection whose receiver accepted the ticket, and how much of the stream it has."""
        where = f"[{ticket.address}]:{ticket.port}"
        try:
            with anyio.fail_after(CONNECT_S):
                stream = await anyio.connect_tcp(ticket.address, ticket.port, local_host=self.source)
        except (OSError, TimeoutError) as error:
            text = f"the stream to {where} could not be opened: {str(error) or f'no answer within {CONNECT_S:g} s'}"
            raise Unreachable(Code.MACHINE_UNREACHABLE, text) from error
        link = Link(stream)
        try:
            with anyio.fail_after(CONNECT_S):
                await stream.send(MAGIC + ticket.token)
                if await stream.receive(1) == ACCEPTED:
                    return link, await link.read_offset(Kind.TAKEN)
        except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError, LinkLost) as error:
            await link.aclose()
            raise Unreachable(Code.MACHINE_UNREACHABLE, f"the receiver at {where} did not answer the ticket") from error
        except BaseException:
            await link.aclose()
            raise
        await link.aclose()
        raise receiver_gone(
            f"the receiver at {where} does not take this ticket: it was used, has expired, or is not its"
        )


async def _give_up(ticket: Ticket, source: str | None) -> None:
    try:
        async with await anyio.connect_tcp(ticket.address, ticket.port, local_host=source) as stream:
            await stream.send(GIVE_UP + ticket.token)
            await stream.receive(1)
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        pass


def _nobody(_: object) -> None:
    """Nobody wants to hear of it."""


@define(eq=False)
class _Sending:
    sender: Sender
    ticket: Ticket
    program: StreamProgram
    on_progress: Callable[[int], None]
    on_lost: Callable[[str], None]
    window: Window = field(factory=Window, init=False)
    link_bytes: int = field(default=0, init=False)
    """Given to connections."""
    links_lost: int = field(default=0, init=False)
    _source_ended: bool = field(default=False, init=False)
    """It wrote everything, and its exit code was 0."""
    _exited: anyio.Event = field(factory=anyio.Event, init=False)
    _moved: anyio.Event = field(factory=anyio.Event, init=False)
    """Set, and replaced, whenever the receiver has taken something."""
    _moved_at_s: float = field(factory=anyio.current_time, init=False)
    _verdict: Verdict | None = field(default=None, init=False)
    _problem: PloyzError | None = field(default=None, init=False)
    """Why it failed; None until it did. The first reason stands."""
    _tasks: anyio.abc.TaskGroup = field(init=False)

    async def carry_out(self, link: Link, taken: int) -> Verdict:
        """Ends when the verdict is there, or at the first failure."""
        self.window.skip(taken)
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._watch_program)
            self._tasks.start_soon(self._report)
            await self._send_all(link)
            self._tasks.cancel_scope.cancel()
        if self._problem is not None:
            raise self._problem
        assert self._verdict is not None  # noqa: S101 - without a problem, it ends with the verdict
        self.on_progress(self.window.taken)
        return self._verdict

    # ------------------------------------------------------------ connections

    async def _send_all(self, link: Link) -> None:
        while True:
            try:
                await self._send_over(link)
            except LinkLost as lost:
                link.abandon()
                if self._problem is not None:
                    return None
                self.links_lost += 1
                self.on_lost(str(lost))
            else:
                return None
            finally:
                await link.aclose()
            try:
                link = await self._open_again()
            except PloyzError as error:
                return self._fail(error)

    async def _open_again(self) -> Link:
        """Raises `Failed` with LINK_LOST or RECEIVER_GONE."""
        while True:
            try:
                link, taken = await self.sender.open(self.ticket)
            except Unreachable as error:
                if anyio.current_time() >= self._moved_at_s + self.sender.patience_s:
                    raise link_lost(f"nothing moved for {self.sender.patience_s:g} s: {error.problem.text}") from error
                await anyio.sleep(RECONNECT_PAUSE_S)
                continue
            if not self.window.resume(taken):
                await link.aclose()
                raise receiver_gone(f"the receiver has {taken} bytes, and what follows on them is not kept any more")
            self._took(taken)
            return link

    async def _send_over(self, link: Link) -> None:
        """Raises `LinkLost`. Returns when the verdict is there, or with a problem."""
        lost: list[LinkLost] = []
        async with anyio.create_task_group() as tasks:

            async def write() -> None:
                try:
                    await self._write(link)
                except LinkLost as error:
                    lost.append(error)
                    tasks.cancel_scope.cancel()

            tasks.start_soon(write)
            try:
                await self._listen(link)
            except LinkLost as error:
                lost.append(error)
            tasks.cancel_scope.cancel()
        if lost:
            raise lost[0]

    async def _listen(self, link: Link) -> None:
        while True:
            kind, content = await link.read()
            match kind:
                case Kind.TAKEN:
                    self._took(offset_of(content))
                case Kind.VERDICT:
                    self._verdict = decode_verdict(bytes(content))
                    if self._verdict.problem:
                        self._fail(failed(f"the receiver failed: {self._verdict.problem}"))
                    await link.write(Kind.HEARD)
                    return
                case _:
                    raise LinkLost("what came over it is no stream")

    def _took(self, offset: int) -> None:
        if offset > self.window.taken:
            self._moved_at_s = anyio.current_time()
        self.window.take(offset)
        self._moved.set()
        self._moved = anyio.Event()

    # ------------------------------------------------------------ what is sent

    async def _write(self, link: Link) -> None:
        """Until it is cancelled: something at least every TELL_S."""
        silent_s = 0.0
        is_told = False
        while True:
            if (piece := self.window.next_piece()) is not None:
                await self._send(link, piece)
            elif self._source_ended:
                if not is_told:
                    await link.write_offset(Kind.END, self.window.read)
                    is_told = True
                await anyio.sleep(TELL_S)
                await link.write(Kind.STILL_HERE)
            elif self.window.is_full:
                with anyio.move_on_after(TELL_S) as waiting:
                    await self._moved.wait()
                if waiting.cancelled_caught:
                    await link.write(Kind.STILL_HERE)
            elif await self._read():
                silent_s = 0.0
            else:
                silent_s += TELL_S
                if silent_s >= self.sender.stall_s:
                    return self._fail(failed(f"its source wrote nothing for {silent_s:g} s"))
                await link.write(Kind.STILL_HERE)

    async def _send(self, link: Link, piece: bytes) -> None:
        """Limits are of what the link carries."""
        kind, content = await self.sender.packing.pack(piece)
        began_s = anyio.current_time()
        for pace in self.sender.paces:
            await pace.take(len(content))
        await link.write(kind, content)
        self.sender.packing.sent(len(piece), anyio.current_time() - began_s)
        self.link_bytes += len(content)

    async def _read(self) -> bool:
        """False: the program wrote nothing for TELL_S."""
        piece = await self.program.pipe.read(piece_bytes(self.sender.paces, PIECE_BYTES), within_s=TELL_S)
        if piece is None:
            return False
        if piece:
            self.window.add(piece)
        else:
            await self._exited.wait()
            self._source_ended = True
        return True

    async def _watch_program(self) -> None:
        exit_code = await self.program.wait()
        if exit_code != 0:
            return self._fail(failed(self.program.ended(exit_code)))
        return self._exited.set()

    async def _report(self) -> None:
        while True:
            await anyio.sleep(TICK_S)
            self.on_progress(self.window.taken)

    def _fail(self, why: PloyzError) -> None:
        if self._problem is None:
            text = f"the stream failed after {self.window.taken} bytes: {why.problem.text}"
            self._problem = Failed(why.code, text)
        self._tasks.cancel_scope.cancel()


assert SILENT_S > 2 * TELL_S  # noqa: S101 - or every pause of a program would look like a lost link
assert FINISH_S > SILENT_S  # noqa: S101
