"""One end of a stream: a program that holds the socket as its standard input or output, and is never left behind.

Python does not touch the bytes: it waits, counts, and kills.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import Process

from ployz.errors import Code, Failed
from ployz.wire.streams import TICK_S

WORDS_BYTES_MAX = 4096
"""Of a program's standard error: its last words are the ones that explain its end."""
REAP_S = 5.0
DRAIN_S = 0.5
"""How long its words may keep coming after it ended: what it left behind can hold the pipe open."""


class StreamProgram:
    def __init__(self, process: Process, argv: Sequence[str]) -> None:
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


@asynccontextmanager
async def running(argv: Sequence[str], *, stdin: int, stdout: int) -> AsyncIterator[StreamProgram]:
    """Runs `argv` in a process group of its own. On the way out, however that is, the whole group is killed.

    The descriptors must be blocking: programs do not expect EAGAIN. Raises `Failed` with MISSING_PART.
    """
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
        text = f"the program {argv[0]!r} could not be started: {error.strerror}"
        raise Failed(Code.MISSING_PART, text, f"Install the package that has {argv[0]}, then try again.") from error
    try:
        yield StreamProgram(process, argv)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                with suppress(ProcessLookupError):  # it ended by itself in this very moment
                    os.killpg(process.pid, signal.SIGKILL)
                with anyio.move_on_after(REAP_S):
                    await process.wait()
            if process.stderr is not None:
                await process.stderr.aclose()


async def until_stalled(count: Callable[[], int], limit_s: Callable[[], float]) -> None:
    """Returns when `count()` has not changed for `limit_s()`, which may change with the phase."""
    last, since_s = count(), anyio.current_time()
    while anyio.current_time() - since_s < limit_s():
        await anyio.sleep(TICK_S)
        if (now := count()) != last:
            last, since_s = now, anyio.current_time()
