"""How the ZFS programs are run: what counts as absent, as done already, as busy, and as a failure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import anyio
import anyio.to_thread

from ployz.errors import Code, Failed
from ployz.host import program
from ployz.host.ports import Dataset, Holder
from ployz.host.zfs import failures, parse
from ployz.host.zfs.failures import Says
from ployz.host.zfs.holders import find_holders
from ployz.surroundings import SLOWNESS

LOOK_S = 20.0 * SLOWNESS
"""For reading. A suspended pool hangs a reader for ever."""

CHANGE_S = 120.0 * SLOWNESS
"""For changing. zfs-fuse works through all freed blocks before it answers."""

BUSY_S = 2.0 * SLOWNESS
"""How long something that is just letting go (the mount namespace of a container that ended) is waited for."""

BUSY_PAUSE_S = 0.02


class Commands:
    """`namespace_pid`: the programs run in the mount namespace of that process; None: in our own."""

    def __init__(self, namespace_pid: int | None) -> None:
        self.own_process = "self" if namespace_pid is None else str(namespace_pid)
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
            output = await self.run(*argv, deadline_s=CHANGE_S)
            if output.exit_code == 0:
                return True
            if settled is not None and settled.found_in(output.words):
                return False
            if not Says.BUSY.found_in(output.words):
                raise failures.failure(output.words)
            if anyio.current_time() >= give_up_at:
                raise failures.busy(dataset, await self.holders(dataset))
            await anyio.sleep(BUSY_PAUSE_S)

    async def holders(self, dataset: Dataset) -> Sequence[Holder]:
        return await anyio.to_thread.run_sync(partial(find_holders, dataset, self.own_process))

    async def require_pool(self, dataset: Dataset) -> None:
        """A dataset is known to be absent only while its pool is there."""
        pool = dataset.partition("/")[0]
        if await self.get("guid", pool) is None:
            raise no_pool(pool)


def no_pool(pool: str) -> Failed:
    return Failed(Code.ZFS_FAILED, f"there is no pool {pool!r}", "Import it, or correct the pool in the configuration.")
