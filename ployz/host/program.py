"""Run one program by its argv: with a deadline, bounded output, and no way to hang the caller.

Every driver goes through here. Programs whose output is a stream of unknown length (`zfs send`) do not.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from attrs import frozen

from ployz.errors import Code, Failed

STDOUT_BYTES_MAX = 64 * 1024 * 1024
"""More is a failure: half an answer, parsed as if it were whole, is worse than none."""

STDERR_BYTES_MAX = 64 * 1024
"""The rest is dropped: it is for people."""

REAP_S = 1.0
"""How long a killed program may take to die. One in state D (a suspended pool) never does, and the caller goes on."""

DRAIN_S = 0.5
"""How long output may keep coming after the program ended: a daemon that it left behind can hold the pipes open."""


_left: list[Process] = []
"""They were left to go on, or did not die."""


@frozen
class Output:
    exit_code: int
    """Negative: died of that signal."""
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output. Bytes that are not UTF-8 survive, to be handed back in an argv."""
        return self.stdout.decode(errors="surrogateescape")

    @property
    def words(self) -> str:
        """What the program said on standard error, on one line: its own words for an error's text."""
        return " ".join(self.stderr.decode(errors="replace").split())


async def run(
    argv: Sequence[str],
    *,
    deadline_s: float,
    stdin: bytes | None = None,
    check: Code | None = None,
    inherited: Sequence[int] = (),
    leave_after_s: float | None = None,
) -> Output:
    """Runs `argv` (no shell) in a process group of its own, with the C locale, to its end.

    `check`: a non-zero exit raises `Failed` with this code and the program's own words; None leaves the judgement to
    the caller. `stdin` None is an empty input. `inherited`: descriptors that the program gets, and keeps to its end.

    Raises `Failed` with MISSING_PART (no such program), TIMED_OUT (the whole group was killed after `deadline_s`) or,
    for too much output, `check`. Cancellation kills the group as well.

    `leave_after_s`: the group is not killed, but waited for a little longer, and then left to go on. That is for a
    program which only waits for a daemon, where killing it ends nothing.
    """
    left()
    process = await _spawn(argv, stdin, inherited)
    try:
        with anyio.move_on_after(deadline_s):
            output = await _communicate(process, argv, stdin, check or Code.PART_FAILED)
            if check is not None and output.exit_code != 0:
                raise Failed(
                    check, f"{_shown(argv)} ended with {output.exit_code}: {output.words or 'it said nothing'}"
                )
            return output
    finally:
        await _end(process, leave_after_s)
    fate = "was killed" if leave_after_s is None else "goes on"
    raise Failed(
        Code.TIMED_OUT,
        f"{_shown(argv)} did not end within {deadline_s:g} s and {fate}",
        "Whether it took effect is not known: look before you repeat it.",
    )


def left() -> int:
    """How many programs that nobody waits for any more have not ended. Those that have are no zombies from now on.

    To be called in an event loop.
    """
    _left[:] = [each for each in _left if each.returncode is None]
    return len(_left)


async def _spawn(argv: Sequence[str], stdin: bytes | None, inherited: Sequence[int]) -> Process:
    try:
        return await anyio.open_process(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},  # texts are parsed
            start_new_session=True,
            pass_fds=inherited,
        )
    except FileNotFoundError as error:
        raise Failed(
            Code.MISSING_PART,
            f"the program {argv[0]!r} is not installed, or not on the PATH",
            f"Install the package that has {argv[0]}, then try again.",
        ) from error
    except OSError as error:
        raise Failed(Code.PART_FAILED, f"{_shown(argv)} could not be started: {error.strerror}") from error


async def _communicate(process: Process, argv: Sequence[str], stdin: bytes | None, overflow: Code) -> Output:
    stdout, stderr = bytearray(), bytearray()
    too_long = False

    async def read_stdout(stream: ByteReceiveStream) -> None:
        nonlocal too_long
        async for chunk in stream:
            if len(stdout) + len(chunk) > STDOUT_BYTES_MAX:
                too_long = True
                group.cancel_scope.cancel()
                return
            stdout.extend(chunk)

    async def read_stderr(stream: ByteReceiveStream) -> None:
        async for chunk in stream:
            stderr.extend(chunk[: STDERR_BYTES_MAX - len(stderr)])

    async with anyio.create_task_group() as group:
        if process.stdout is not None and process.stderr is not None:
            group.start_soon(read_stdout, process.stdout)
            group.start_soon(read_stderr, process.stderr)
        if process.stdin is not None and stdin is not None:
            group.start_soon(_feed, process.stdin, stdin)
        await process.wait()
        group.cancel_scope.deadline = anyio.current_time() + DRAIN_S
    if too_long:
        raise Failed(overflow, f"{_shown(argv)} printed more than {STDOUT_BYTES_MAX} bytes")
    assert process.returncode is not None  # noqa: S101 - wait() has returned
    return Output(process.returncode, bytes(stdout), bytes(stderr))


async def _feed(stream: ByteSendStream, content: bytes) -> None:
    try:
        await stream.send(content)
    except anyio.BrokenResourceError:
        pass  # it did not read all of its input: its exit code says whether that matters
    finally:
        await stream.aclose()


async def _end(process: Process, leave_after_s: float | None) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            if leave_after_s is None:
                with suppress(ProcessLookupError):  # it ended by itself in this very moment
                    os.killpg(process.pid, signal.SIGKILL)
            with anyio.move_on_after(REAP_S if leave_after_s is None else leave_after_s):
                await process.wait()
            if process.returncode is None:
                _left.append(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                await stream.aclose()


def _shown(argv: Sequence[str]) -> str:
    """The command for an error's text, cut where it would drown the rest."""
    line = shlex.join(argv)
    return line if len(line) <= 200 else line[:200] + "…"  # noqa: PLR2004 - about two lines of a terminal
