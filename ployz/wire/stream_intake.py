"""What a receiver does with one stream: takes it off its connections, gives it to a program, and says how it ended.

The program lives on while there is no connection. It finds the end of its input only when the source has succeeded.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from ployz.errors import Failed
from ployz.wire.packing import unpacked
from ployz.wire.stream_link import TELL_S, Kind, Link, LinkLost, offset_of
from ployz.wire.stream_program import StreamProgram, reading
from ployz.wire.streams import FINISH_S, Verdict, encode_verdict

TRAILING_BYTES_MAX = 1 << 20
"""A program may stop reading at the end that it knows (of a tar archive, say); padding after it is let through."""


class Connections:
    """Of one stream: the newest counts, and the one before it is over."""

    def __init__(self) -> None:
        self.newest: Link | None = None
        self._came = anyio.Event()
        self._is_closed = False

    def put(self, link: Link) -> None:
        if self.newest is not None:
            self.newest.shut_down()
        self.newest = link
        self._came.set()
        if self._is_closed:
            self.close()

    async def next(self) -> Link:
        """One that was not lost yet."""
        while self.newest is None:
            self._came = anyio.Event()
            await self._came.wait()
        return self.newest

    async def lose(self, link: Link) -> None:
        if self.newest is link:
            self.newest = None
        link.abandon()
        await link.aclose()

    def close(self) -> None:
        self._is_closed = True
        if self.newest is not None:
            self.newest.shut_down()
            self.newest.closed.set()


class _Over(Exception):
    """The stream has failed; the text says why."""


class Intake:
    def __init__(self, connections: Connections, argv: Sequence[str], stall_s: float, patience_s: float) -> None:
        self._connections = connections
        self._argv = argv
        self._stall_s = stall_s
        self._patience_s = patience_s
        self._taken = 0
        self._trailing_bytes = 0
        """What came after the program stopped reading."""
        self._whole = anyio.Event()
        """The source has succeeded, and everything is here."""
        self._exit_code: int | None = None
        self._exited = anyio.Event()
        self._problem = ""

    async def carry_out(self) -> Verdict:
        """Runs the program to its end, or kills it when the stream has failed."""
        try:
            async with reading(self._argv) as program, anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, program, tasks.cancel_scope)
                try:
                    await self._feed(program)
                    await self._finish(program)
                except _Over as over:
                    self._problem = self._problem or str(over)
                tasks.cancel_scope.cancel()
        except Failed as error:  # the program is not there
            return Verdict(0, -1, error.problem.text, "")
        exit_code = -1 if self._exit_code is None else self._exit_code
        return Verdict(self._taken, exit_code, self._problem, program.words)

    async def tell(self, verdict: Verdict) -> None:
        """Until the sender has heard it: a verdict that was lost would make a success look like a failure."""
        content = encode_verdict(verdict)
        with anyio.move_on_after(self._patience_s):
            while True:
                link = await self._connections.next()
                try:
                    await link.write_offset(Kind.TAKEN, self._taken)
                    await link.write(Kind.VERDICT, content)
                    while (await link.read())[0] is not Kind.HEARD:
                        pass
                except LinkLost:
                    await self._connections.lose(link)
                else:
                    return

    # ------------------------------------------------------------ the program

    async def _watch(self, program: StreamProgram, scope: anyio.CancelScope) -> None:
        self._exit_code = await program.wait()
        self._exited.set()
        if self._exit_code != 0:
            self._problem = program.ended(self._exit_code)
            return scope.cancel()
        with anyio.move_on_after(self._stall_s):
            await self._whole.wait()
            return None
        self._problem = f"the program ended, and the stream did not within {self._stall_s:g} s"
        return scope.cancel()

    async def _give(self, program: StreamProgram, link: Link, content: memoryview) -> None:
        """To the program, which may be slow: the sender hears that somebody is here."""
        silent_s = 0.0
        while content:
            try:
                count = await program.pipe.write(content, within_s=TELL_S)
            except BrokenPipeError:
                count = len(content)
                self._trailing_bytes += count
                if self._trailing_bytes > TRAILING_BYTES_MAX:
                    await self._stopped_reading()
            silent_s = 0.0 if count else silent_s + TELL_S
            if silent_s >= self._stall_s:
                raise _Over(f"the receiving program took nothing for {silent_s:g} s")
            self._taken += count
            content = content[count:]
            if not count:
                await link.write_offset(Kind.TAKEN, self._taken)

    async def _stopped_reading(self) -> None:
        """Its exit code explains it better, if there is one."""
        with anyio.move_on_after(self._stall_s):
            await self._exited.wait()
        raise _Over("the program stopped reading before the end of the stream")

    async def _finish(self, program: StreamProgram) -> None:
        """It has everything, and commits what it received."""
        program.pipe.close()
        give_up_at_s = anyio.current_time() + FINISH_S
        while not self._exited.is_set():
            if anyio.current_time() >= give_up_at_s:
                raise _Over(f"the receiving program did not end within {FINISH_S:g} s after the stream")
            with anyio.move_on_after(TELL_S):
                await self._exited.wait()
            await self._still_here()

    async def _still_here(self) -> None:
        link = self._connections.newest
        if link is not None:  # else it hears so when it comes again
            try:
                await link.write_offset(Kind.TAKEN, self._taken)
            except LinkLost:
                await self._connections.lose(link)

    # ------------------------------------------------------------ the connections

    async def _feed(self, program: StreamProgram) -> None:
        while not self._whole.is_set():
            with anyio.move_on_after(self._patience_s) as waiting:
                link = await self._connections.next()
            if waiting.cancelled_caught:
                raise _Over(f"the sender was gone for {self._patience_s:g} s")
            try:
                await link.write_offset(Kind.TAKEN, self._taken)
                await self._take_from(link, program)
            except LinkLost:
                await self._connections.lose(link)

    async def _take_from(self, link: Link, program: StreamProgram) -> None:
        while True:
            kind, content = await link.read()
            match kind:
                case Kind.CONTENT:
                    await self._give(program, link, content)
                case Kind.PACKED:
                    await self._give(program, link, unpacked(content))
                case Kind.STILL_HERE:
                    pass
                case Kind.END if offset_of(content) == self._taken:
                    self._whole.set()
                    return
                case Kind.END:
                    raise _Over(f"the source wrote {offset_of(content)} bytes, and {self._taken} came")
                case _:
                    raise LinkLost("what came over it is no stream")
            await link.write_offset(Kind.TAKEN, self._taken)
