"""One end of a stream: a program with a pipe as its standard input or output, which is never left behind.

The pipe is what lets it outlive a connection.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import Process

from ployz.errors import Code, Failed

WORDS_BYTES_MAX = 4096
"""Of a program's standard error: its last words are the ones that explain its end."""
REAP_S = 5.0
DRAIN_S = 0.5
"""How long its words may keep coming after it ended: what it left behind can hold the pipe open."""
PIPE_BYTES = 1 << 20
"""What the program can be ahead, so that it and the link work at the same time."""


class StreamProgram:
    """`pipe`: our end, which does not block."""

    def __init__(self, process: Process, argv: Sequence[str], pipe: Pipe) -> None:
        self.pipe = pipe
        self._process = process
        self._argv = argv
        self._tail = bytearray()

    async def wait(self) -> int:
        """Its exit code; negative: died of that signal."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            exit_code = await self._process.wait()
            tasks.cancel_scope.deadline = anyio.current_time() + DRAIN_S
        return exit_code

    @property
    def words(self) -> str:
        """The end of what it said on standard error, on one line."""
        return " ".join(self._tail.decode(errors="replace").split())

    def ended(self, exit_code: int) -> str:
        """`zfs send … ended with 1: cannot open …`, for an error's text."""
        line = shlex.join(self._argv)
        shown = line if len(line) <= 120 else line[:120] + "…"  # noqa: PLR2004 - one line of a terminal
        return f"`{shown}` ended with {exit_code}: {self.words or 'it said nothing'}"

    async def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it was opened with a pipe
        async for chunk in self._process.stderr:
            self._tail += chunk
            del self._tail[:-WORDS_BYTES_MAX]


class Pipe:
    """Our end of the pipe that a program reads or writes. One task uses it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_open = True
        os.set_blocking(descriptor, False)
        with suppress(OSError):  # only how fast it is
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    async def read(self, size: int, *, within_s: float) -> bytes | None:
        """Empty: the end. None: nothing came in time."""
        while True:
            try:
                return os.read(self._descriptor, size)
            except BlockingIOError:
                with anyio.move_on_after(within_s) as waiting:
                    await anyio.wait_readable(self._descriptor)
                if waiting.cancelled_caught:
                    return None

    async def write(self, content: memoryview, *, within_s: float) -> int:
        """How much of it went in; 0: nothing did in time. BrokenPipeError: the program reads no more."""
        while True:
            try:
                return os.write(self._descriptor, content)
            except BlockingIOError:
                with anyio.move_on_after(within_s) as waiting:
                    await anyio.wait_writable(self._descriptor)
                if waiting.cancelled_caught:
                    return 0

    def close(self) -> None:
        """The program finds the end of its input, or that nobody reads its output."""
        if self._is_open:
            self._is_open = False
            anyio.notify_closing(self._descriptor)
            os.close(self._descriptor)


@asynccontextmanager
async def writing(argv: Sequence[str]) -> AsyncIterator[StreamProgram]:
    """Runs `argv`, with what it writes in the pipe. See `_running`."""
    ours, theirs = os.pipe()
    async with _running(argv, ours, theirs, stdin=subprocess.DEVNULL, stdout=theirs) as program:
        yield program


@asynccontextmanager
async def reading(argv: Sequence[str]) -> AsyncIterator[StreamProgram]:
    """Runs `argv`, which reads what is given to the pipe. See `_running`."""
    theirs, ours = os.pipe()
    async with _running(argv, ours, theirs, stdin=theirs, stdout=subprocess.DEVNULL) as program:
        yield program


@asynccontextmanager
async def _running(
    argv: Sequence[str], ours: int, theirs: int, *, stdin: int, stdout: int
) -> AsyncIterator[StreamProgram]:
    """In a process group of its own. On the way out, however that is, the whole group is killed, and only then the
    pipe is closed: a program must not take what came so far for the whole. Raises `Failed` with MISSING_PART.
    """
    pipe = Pipe(ours)
    try:
        process = await anyio.open_process(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        pipe.close()
        text = f"the program {argv[0]!r} could not be started: {error.strerror}"
        raise Failed(Code.MISSING_PART, text, f"Install the package that has {argv[0]}, then try again.") from error
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(theirs)
    try:
        yield StreamProgram(process, argv, pipe)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                with suppress(ProcessLookupError):  # it ended by itself in this very moment
                    os.killpg(process.pid, signal.SIGKILL)
                # zfs-fuse works in its daemon, which has a copy of the pipe and outlives the program that was killed:
                # without this it would go on, with the dataset busy.
                pipe.close()
                with anyio.move_on_after(REAP_S):
                    await process.wait()
            pipe.close()
            if process.stderr is not None:
                await process.stderr.aclose()
