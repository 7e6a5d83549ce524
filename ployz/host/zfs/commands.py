"""How the ZFS programs are run: what counts as absent, as done already, as busy, and as a failure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio
import anyio.to_thread

from ployz.errors import Code, Failed
from ployz.host import program
from ployz.host.ports import Dataset, Holder
from ployz.host.zfs import failures, parse, turns
from ployz.host.zfs.failures import Says
from ployz.host.zfs.hanging import answers_argv
from ployz.host.zfs.holders import find_holders
from ployz.host.zfs.mounts import mounts_of
from ployz.surroundings import SLOWNESS

LOOK_S = 20.0 * SLOWNESS
"""For reading. A suspended pool hangs a reader for ever."""

CHANGE_S = 120.0 * SLOWNESS
"""For changing. zfs-fuse works through all freed blocks before it answers."""

ANSWER_S = 30.0 * SLOWNESS
"""For a file system that a daemon has just mounted, to answer for the first time."""

LEAVE_AFTER_S = 2.0 * SLOWNESS
"""A mount that nobody wants any more is waited for this long. Killing it would not stop the daemon that is at it."""

BUSY_S = 2.0 * SLOWNESS
"""How long something that is just letting go (the mount namespace of a container that ended) is waited for."""

BUSY_PAUSE_S = 0.02


class Commands:
    """`namespace_pid`: the programs run in the mount namespace of that process; None: in our own."""

    def __init__(self, namespace_pid: int | None) -> None:
        self.own_process = "self" if namespace_pid is None else str(namespace_pid)
        self.turns = turns.Turns(self.own_process)
        self.prefix = () if namespace_pid is None else ("nsenter", "--target", self.own_process, "--mount", "--")

    async def run(self, *argv: str, deadline_s: float = LOOK_S) -> program.Output:
        return await program.run((*self.prefix, *argv), deadline_s=deadline_s)

    async def look(self, *argv: str) -> str | None:
        """What it printed; None: what it was asked about does not exist."""
        output = await self.run(*argv)
        if output.exit_code == 0:
            return output.text
        if Says.ABSENT.found_in(output.words):
            return None
        raise failures.failure(output.words)

    async def get(self, properties: str, *names: str, options: Sequence[str] = ()) -> dict[str, dict[str, str]] | None:
        """The properties of each by its full name; None: at least one does not exist."""
        text = await self.look("zfs", "get", "-Hp", *options, "-o", "name,property,value", properties, *names)
        return None if text is None else parse.properties(text)

    async def get_tree(self, properties: str, dataset: Dataset) -> dict[str, dict[str, str]] | None:
        """Of the dataset and its snapshots; what lies right below it comes along."""
        return await self.get(properties, dataset, options=("-r", "-d", "1"))

    async def change(self, dataset: Dataset, *argv: str, settled: Says | None = None) -> bool:
        """Whether it changed anything: False when `settled` was said. What is busy gets a short while to let go."""
        give_up_at = anyio.current_time() + BUSY_S
        while True:
            output = await self._carry_out(dataset, argv)
            if output.exit_code == 0:
                return True
            if settled is not None and settled.found_in(output.words):
                return False
            if not Says.BUSY.found_in(output.words):
                raise failures.failure(output.words)
            if anyio.current_time() >= give_up_at:
                raise failures.busy(dataset, await self.holders(dataset))
            await anyio.sleep(BUSY_PAUSE_S)

    async def _carry_out(self, dataset: Dataset, argv: Sequence[str]) -> program.Output:
        """What may mount has its turn to the end of the program, even when nobody here waits for that any more."""
        if not turns.may_mount(argv) or not self.turns.are_needed():
            return await self._in_time(dataset, argv)
        async with self.turns.take(dataset) as turn:
            output = await self._in_time(dataset, argv, (turn,))
            if output.exit_code == 0:
                await self.require_answer(dataset, (turn,))
            return output

    async def _in_time(self, dataset: Dataset, argv: Sequence[str], inherited: Sequence[int] = ()) -> program.Output:
        """A mount or an unmount that takes too long is `Failed` with MOUNT_HANGS."""
        is_mount = argv[1] in ("mount", "unmount")
        deadline_s = turns.MOUNT_S if is_mount else CHANGE_S
        leave_after_s = LEAVE_AFTER_S if inherited else None
        whole = (*self.prefix, *argv)
        try:
            return await program.run(whole, deadline_s=deadline_s, inherited=inherited, leave_after_s=leave_after_s)
        except Failed as error:
            if not is_mount or error.code is not Code.TIMED_OUT:
                raise
            what = f"the {argv[1]} of {dataset} hangs: it did not end within {deadline_s:g} s"
            raise failures.mount_hangs(what, by_daemon=self.turns.are_needed()) from error

    async def require_answer(self, dataset: Dataset, inherited: Sequence[int] = ()) -> None:
        """A daemon says that it has mounted before it serves the file system, which it may never come to do."""
        if not self.turns.are_needed():
            return
        leave_after_s = LEAVE_AFTER_S if inherited else None
        for mount in mounts_of(dataset, turns.PROC / self.own_process)[-1:]:
            argv = (*self.prefix, *answers_argv(dataset, mount.mountpoint))
            try:
                output = await program.run(argv, deadline_s=ANSWER_S, inherited=inherited, leave_after_s=leave_after_s)
            except Failed as error:
                if error.code is not Code.TIMED_OUT:
                    raise
                what = f"the mount of {dataset} hangs: {mount.mountpoint} did not answer within {ANSWER_S:g} s"
                raise failures.mount_hangs(what, by_daemon=True) from error
            if output.exit_code != 0:
                raise failures.failure(output.words)

    async def holders(self, dataset: Dataset) -> Sequence[Holder]:
        return await anyio.to_thread.run_sync(partial(find_holders, dataset, self.own_process))

    async def require_pool(self, dataset: Dataset) -> None:
        """A dataset is known to be absent only while its pool is there."""
        pool = dataset.partition("/")[0]
        if await self.get("guid", pool) is None:
            raise no_pool(pool)


def no_pool(pool: str) -> Failed:
    return Failed(Code.ZFS_FAILED, f"there is no pool {pool!r}", "Import it, or correct the pool in the configuration.")
