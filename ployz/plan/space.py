"""Whether pools can take what a plan gives them: their health, free space with a reserve, and quotas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from ployz.config import SPACE_RESERVE
from ployz.errors import Code
from ployz.ids import MachineId
from ployz.plan.blockers import Blockers
from ployz.plan.model import Change, VolumePlan
from ployz.plan.reports import Answers, MachineReport

WORKING: Final = frozenset({"ONLINE", "DEGRADED"})
"""A degraded pool reads and writes: to move away from it is what it needs most."""


SNAPSHOT_BYTES: Final = 4 << 20
"""Free in a pool, so that snapshots and datasets can be made there at all, and a service can go on meanwhile."""


def usable_bytes(report: MachineReport) -> int:
    return max(0, report.pool_free_bytes - int(SPACE_RESERVE * report.pool_size_bytes))


def check_space(volumes: Sequence[VolumePlan], answers: Answers, blockers: Blockers) -> None:
    changed = [volume for volume in volumes if volume.change is not Change.UNCHANGED]
    _check_pools(changed, answers, blockers)
    _check_not_full(changed, answers, blockers)
    arriving: Counter[MachineId] = Counter()
    for volume in changed:
        if volume.change is Change.MOVE:
            arriving[volume.machine] += volume.first_send_bytes
        _check_quota(volume, answers, blockers)
    for machine, size_bytes in sorted(arriving.items()):
        report = answers.machine(machine)
        if report is not None and size_bytes > usable_bytes(report):
            blockers.add(
                Code.NO_SPACE,
                f"{machine} has {usable_bytes(report)} bytes of space to use, and {size_bytes} are to be sent",
                "Free space there, or choose another machine.",
            )


def _check_not_full(changed: Sequence[VolumePlan], answers: Answers, blockers: Blockers) -> None:
    """Where snapshots are taken for a move, and where a volume is made."""
    written = {each.previous.owner for each in changed if each.change is Change.MOVE and each.previous}
    written |= {each.machine for each in changed if each.change is Change.CREATE}
    for machine in sorted(written):
        report = answers.machine(machine)
        if report is not None and report.pool_free_bytes < SNAPSHOT_BYTES and report.pool_health in WORKING:
            blockers.add(
                Code.NO_SPACE,
                f"the pool of {machine} is full: {report.pool_free_bytes} bytes are free, and no snapshot can be taken "
                "and no volume made there",
                f"Free space there: delete data, or snapshots that nobody needs (zfs list -t snapshot on {machine}).",
            )


def _check_quota(volume: VolumePlan, answers: Answers, blockers: Blockers) -> None:
    """At its new place, too: a quota that cannot be set after the commit would bound nothing."""
    found = answers.volume(volume.previous.owner, volume.volume) if volume.previous else None
    if found is not None and volume.quota_bytes and found.referenced_bytes > volume.quota_bytes:
        blockers.add(
            Code.NO_SPACE,
            f"volume {volume.volume} holds {found.referenced_bytes} bytes, more than its quota of {volume.quota_bytes}",
            "Raise its quota in the manifest and deploy, or delete some of its data.",
        )
    elif found is not None and volume.quota_bytes and volume.change is Change.MOVE:
        copy = answers.volume(volume.machine, volume.volume) if volume.base is not None else None
        most_bytes = found.uncompressed_bytes
        arrives_bytes = most_bytes if copy is None else min(most_bytes, copy.referenced_bytes + volume.first_send_bytes)
        if arrives_bytes > volume.quota_bytes:
            blockers.add(
                Code.NO_SPACE,
                f"volume {volume.volume} is compressed where it is, to {found.referenced_bytes} bytes, and arrives on "
                f"{volume.machine} as {arrives_bytes}: more than its quota of {volume.quota_bytes}",
                "Raise its quota in the manifest and deploy, or delete some of its data.",
            )


def _check_pools(changed: Sequence[VolumePlan], answers: Answers, blockers: Blockers) -> None:
    concerned = {volume.machine for volume in changed} | {each.previous.owner for each in changed if each.previous}
    for machine in sorted(concerned):
        report = answers.machine(machine)
        if report is not None and report.pool_health not in WORKING:
            blockers.add(
                Code.ZFS_FAILED,
                f"the pool of {machine} is {report.pool_health}: no volume can be made, sent or received there",
                f"Look at it there: zpool status. Then preview again, from {machine} or any other machine.",
            )
