"""A backup of the fact log in the place of what ordered the facts before, on a machine whose ployzd is stopped.

Everything is checked before anything is changed, and what is replaced is set aside. Given again, it goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio
from attrs import define, frozen

from ployz.clock import Clock, SystemClock
from ployz.config import Config
from ployz.errors import Code, Failed, Refused
from ployz.events import wal
from ployz.events.log import GENESIS_HASH, Record
from ployz.events.mark import MARK_SUFFIX
from ployz.events.replay import replay
from ployz.events.sqlite_log import SqliteLog
from ployz.events.types import ClusterFounded, FactMirrored
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.host.etcd import SystemEtcd
from ployz.install.files import sync_folder

_DATABASE: Final = ("", wal.SUFFIX, "-shm", wal.KEPT_SUFFIX, MARK_SUFFIX)
"""What the fact log may consist of."""
_MODE: Final = 0o600


@frozen
class Restored:
    position: int
    """Of the last fact in the backup."""
    set_aside: tuple[Path, ...]


def restore(config: Config, backup: Path) -> Restored:
    """On the founding machine: the facts are ordered here again, and go on after the last one in `backup`.

    `Refused`: ployzd runs here (LOG_LOCKED), there is no backup (USAGE), this machine did not found the cluster or the
    backup is of another one (CONFLICT), or this machine has followed further (FORKED). `Corrupt`: it is damaged.
    """
    return anyio.run(_restore, config, backup, SystemClock(), backend="trio")


def forget_etcd(config: Config) -> tuple[Path, ...]:
    """On every other machine: it asks the founding machine again. What was set aside. `Refused`: ployzd runs here
    (LOG_LOCKED).
    """

    async def main() -> tuple[Path, ...]:
        clock = SystemClock()
        await (await SqliteLog.open(config.log_path, clock)).aclose()  # only without ployzd
        return await _forget_etcd(config, clock)

    return anyio.run(main, backend="trio")


async def _restore(config: Config, backup: Path, clock: Clock) -> Restored:
    if config.founding is None:
        raise Refused(
            Code.CONFLICT,
            f"{config.machine} did not found {config.cluster}: the facts are not ordered here",
            "Give the command on the founding machine; here, give it without a file.",
        )
    draft = config.facts_path.with_name(f"{config.facts_path.name}.restoring")
    followed = await _followed(config, clock)
    try:
        _copy(backup, draft)
        position = await _checked(draft, config, followed, clock)
        aside = [*await _forget_etcd(config, clock), *_set_aside(config.facts_path, clock, suffixes=_DATABASE)]
        draft.rename(config.facts_path)
        sync_folder(config.facts_path.parent)
    except OSError as error:
        raise Failed(Code.PART_FAILED, f"{backup} cannot be copied: {error.strerror}") from error
    finally:
        for suffix in _DATABASE:
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    return Restored(position, tuple(aside))


async def _forget_etcd(config: Config, clock: Clock) -> tuple[Path, ...]:
    await SystemEtcd(config.etcd_dir, config.etcd_programs_dir).stop()
    return (*_set_aside(config.etcd_path, clock), *_set_aside(config.etcd_dir, clock))


# ---------------------------------------------------------------- checks


@define
class _Followed:
    """The last fact that this machine has."""

    position: int = 0
    hash: bytes = GENESIS_HASH

    def take(self, record: Record) -> None:
        if isinstance(record.event, FactMirrored):
            self.position, self.hash = record.event.position, record.event.hash


async def _followed(config: Config, clock: Clock) -> _Followed:
    found = _Followed()
    log = await SqliteLog.open(config.log_path, clock)
    try:
        await replay(log, found.take)
    finally:
        await log.aclose()
    return found


async def _checked(copy: Path, config: Config, followed: _Followed, clock: Clock) -> int:
    """The position that it ends with."""
    log = await EmbeddedFactLog.open(copy, clock)  # walks the chain
    try:
        first = await log.facts(0, limit=1, wait_s=0)
        same = await log.facts(followed.position - 1, limit=1, wait_s=0) if followed.position else ()
        head = await log.head()
    finally:
        await log.aclose()
    match [each.fact for each in first]:
        case [ClusterFounded(cluster, founder)] if (cluster, founder) == (config.cluster, config.machine):
            pass
        case _:
            raise Refused(Code.CONFLICT, f"this is no backup of {config.cluster}, which {config.machine} founded")
    if followed.position and [each.hash for each in same] != [followed.hash]:
        raise Refused(
            Code.FORKED,
            f"{config.machine} has followed to fact {followed.position}, which the backup, up to {head.position}, "
            "does not know",
            "Restore a newer backup. Something that this one does not know may have moved a volume.",
        )
    return head.position


# ---------------------------------------------------------------- files


def _copy(backup: Path, draft: Path) -> None:
    if not backup.is_file():
        raise Refused(Code.USAGE, f"there is no file {backup}")
    draft.unlink(missing_ok=True)
    draft.touch(mode=_MODE)
    shutil.copyfile(backup, draft)


def _set_aside(path: Path, clock: Clock, *, suffixes: Sequence[str] = ("",)) -> list[Path]:
    at = datetime.fromtimestamp(clock.wall_ms() / 1000, UTC)
    aside = []
    for each in [path.with_name(path.name + suffix) for suffix in suffixes]:
        if each.exists():
            there = each.with_name(f"{each.name}.before-{at:%Y%m%dT%H%M%S%fZ}")
            each.rename(there)
            aside.append(there)
    return aside
