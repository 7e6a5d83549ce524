"""A copy of the fact log as a file, made while it is in use: what the founding machine has as facts.db.

So there is one way back, whoever orders the facts: the file takes the place of facts.db, and ployzd opens it.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from secrets import token_hex

from ployz.clock import Clock
from ployz.errors import Code, Failed, Refused
from ployz.events.connection import Connection
from ployz.events.mark import path_of
from ployz.facts.etcd.log import EtcdFactLog
from ployz.facts.rules import Change, Head
from ployz.facts.sequencer import tables
from ployz.facts.sequencer.embedded import EmbeddedFactLog

MODE = 0o600


async def back_up(log: EmbeddedFactLog | EtcdFactLog, path: Path, clock: Clock) -> Head:
    """Writes `path`, whole or not at all. Returns where the copied log ends.

    `Refused` (USAGE): there is something at `path`, or its folder is none. `Corrupt`: what was copied does not fit
    together. `Failed`: it could not be written.
    """
    _require_free(path)
    part = path.with_name(f".{path.name}.{token_hex(8)}.part")  # nobody can have put anything there
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE))
        await (log.copy_to(part) if isinstance(log, EmbeddedFactLog) else _write(log, part))
        copied = await EmbeddedFactLog.open(part, clock)  # walks the chain
        try:
            head = await copied.head()
        finally:
            await copied.aclose()
        os.link(part, path, follow_symlinks=False)  # unlike a rename it replaces nothing
    except OSError as error:
        raise Failed(Code.PART_FAILED, f"{path} cannot be written: {error.strerror}") from error
    finally:
        for each in (part, path_of(part)):
            each.unlink(missing_ok=True)
    return head


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise Refused(Code.USAGE, f"there is something at {path} already", "Name a file that is not there yet.")
    if not path.parent.is_dir():
        raise Refused(Code.USAGE, f"there is no folder {path.parent}", "Make it, or name another.")


async def _write(log: EtcdFactLog, part: Path) -> None:
    """As of one revision of etcd, whatever is committed meanwhile. Locks are not in it: they lapse anyway."""
    connection = await Connection.open(part, tables.FACT_LOG)
    try:
        snapshot = await log.snapshot()
        await connection.write(partial(tables.store, change=Change(snapshot.head, tuple(snapshot.records), ())))
        after = 0
        while page := await snapshot.facts(after):
            await connection.write(partial(tables.store, change=Change(snapshot.head, (), tuple(page))))
            after = page[-1].position
        if after != snapshot.head.position:
            raise Failed(Code.PART_FAILED, f"etcd gave {after} of {snapshot.head.position} facts", "Run it again.")
    finally:
        await connection.aclose()
