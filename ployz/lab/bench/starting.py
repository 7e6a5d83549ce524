"""One start of a node from its log, measured in this process, which has read nothing else: python -m … LOG SNAPSHOT."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import anyio

from ployz.actors.compacting import Compactor
from ployz.actors.snapshots import EVERY_RECORDS, SnapshotKeeper
from ployz.clock import SystemClock
from ployz.events.feed import Feed
from ployz.events.sqlite_log import SqliteLog
from ployz.install.compaction_file import CompactionFile
from ployz.install.snapshot_file import SnapshotFile


async def start(path: Path, snapshot: Path) -> dict[str, float]:
    """Processor time, which is what it takes, and by how much the process has grown."""
    log = Feed(await SqliteLog.open(path, SystemClock()))
    try:
        async with CompactionFile(path.with_suffix(".compaction")) as compactions:
            keeper = SnapshotKeeper(log, SnapshotFile(snapshot), Compactor(log, compactions, EVERY_RECORDS))
            before_bytes, began_s = _resident_bytes(), time.process_time()
            folded = await keeper.fold()
            took_s, grown_bytes = time.process_time() - began_s, _resident_bytes() - before_bytes
            return {"took_s": took_s, "grown_bytes": grown_bytes, "seq": folded.seq}
    finally:
        await log.aclose()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    log_path, snapshot_path = map(Path, sys.argv[1:])
    print(json.dumps(anyio.run(start, log_path, snapshot_path, backend="trio")))  # noqa: T201 - what is asked for
