"""Leases of containers as files below /run, each with a guard process that kills its container when the lease ends.

What the guard does is host/guard.py, which runs alone. This is its side in ployzd.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
from attrs import frozen

from ployz.errors import Code, Failed
from ployz.host.guard import PART, READY, guard_argv, read_lease, was_killed, write_lease
from ployz.surroundings import SLOWNESS

SPAWN_S: Final = 10.0 * SLOWNESS
"""For Docker to name the container, too."""


@frozen
class SystemGuards:
    docker_socket: Path
    folder: Path
    """Below /run: a power cut clears it, and with it everything that a lease could be about."""

    async def guard(self, container: str, until_s: float) -> None:
        await self.renew(container, until_s)
        argv = guard_argv(str(self.docker_socket), container, self._lease(container))
        try:
            with anyio.fail_after(SPAWN_S):
                # In a session of its own and nobody's child: it outlives ployzd, and is nobody's to reap.
                async with await anyio.open_process(
                    ["setsid", "--fork", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                ) as process:
                    assert process.stdout is not None  # noqa: S101 - it was opened with a pipe
                    said = await process.stdout.receive()
        except (OSError, anyio.EndOfStream, TimeoutError) as error:
            why = "Docker did not name it" if isinstance(error, anyio.EndOfStream) else str(error)
            raise Failed(Code.PART_FAILED, f"the guard of {container} could not be started: {why}") from error
        if said != READY:
            raise Failed(Code.PART_FAILED, f"the guard of {container} said {said!r}")

    async def renew(self, container: str, until_s: float) -> None:
        if await self.killed(container):
            raise Failed(Code.PART_FAILED, f"{container} was killed by its guard: its lease was over")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_lease(self._lease(container), until_s)
        except OSError as error:
            raise Failed(Code.PART_FAILED, f"the lease of {container} could not be written: {error}") from error

    async def release(self, container: str) -> None:
        self._lease(container).unlink(missing_ok=True)

    async def until_s(self, container: str) -> float | None:
        return read_lease(self._lease(container))

    async def killed(self, container: str) -> bool:
        return was_killed(self._lease(container))

    async def guarded(self) -> Sequence[str]:
        names = {each.name for each in self.folder.glob("*")}
        return tuple(sorted(each for each in names if not each.endswith(PART)))

    def _lease(self, container: str) -> Path:
        return self.folder / container
