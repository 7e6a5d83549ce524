"""What the ZFS programs complain about, as errors of this project with their own words.

The texts are those of OpenZFS 2.1 and zfs-fuse 0.7; both write them in English under LC_ALL=C.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset, Holder, Keep

_SHOWN_HOLDERS = 5

HANGS_BY_DAEMON: Final = (
    "Restart that machine, by its power if it does not go down: its zfs-fuse may serve no volume any more, and a "
    "restart of ployzd does not help."
)
HANGS_IN_KERNEL: Final = (
    "Look on that machine at `zpool status` and `dmesg`; restart the machine if its disks answer and the mount still "
    "hangs: a restart of ployzd does not help."
)


class Says(Enum):
    """What a program can say instead of doing it. A value holds the texts of which one is enough."""

    ABSENT = ("does not exist", "no such pool", "could not find any snapshots to destroy")
    BUSY = ("busy",)
    THERE_ALREADY = ("already exists",)
    NOT_HELD = ("no such tag", "does not exist")
    MOUNTED = ("already mounted",)
    NOT_MOUNTED = ("not currently mounted", "does not exist")
    NO_SPACE = ("out of space", "quota exceeded", "no space left")
    NOTHING_KEPT = ("does not have any resumable receive state", "does not exist")
    OTHER_HISTORY = ("has been modified", "does not match incremental source", "must specify -F")

    def found_in(self, words: str) -> bool:
        return any(text in words for text in self.value)


def failure(words: str) -> Failed:
    """Of any program but a stream's."""
    if Says.NO_SPACE.found_in(words):
        return Failed(Code.NO_SPACE, words, "Free space in the pool or raise the quota, then try again.")
    said, _, _ = words.partition(" usage: ")  # some failures are followed by pages of usage text
    return Failed(Code.ZFS_FAILED, said or "zfs failed and said nothing")


def stream_failure(words: str) -> Failed:
    """Of `zfs send` or `zfs receive`, by what it wrote on standard error."""
    if Says.NO_SPACE.found_in(words):
        return failure(words)
    if Says.OTHER_HISTORY.found_in(words):
        return Failed(
            Code.DATASET_IN_THE_WAY,
            words,
            "The target's dataset is not what the stream continues: roll it back to the common snapshot.",
        )
    return Failed(Code.STREAM_FAILED, words or "the stream ended early, and zfs said nothing")


def kept(dataset: Dataset, keeps: Sequence[Keep]) -> Failed:
    """By holds and clones of snapshots, each with the command that takes it away."""
    shown = keeps[:_SHOWN_HOLDERS]
    return Failed(
        Code.DATASET_BUSY,
        f"{dataset} is kept as it is: {'; '.join(each.why(dataset) for each in shown)}",
        f"If nobody needs that: {'; '.join(each.remedy(dataset) for each in shown)}",
    )


def busy(dataset: Dataset, holders: Sequence[Holder], mountpoints: Sequence[str] = ()) -> Failed:
    """Names the processes, and mounts of our own that are left, so that an operator knows what to stop."""
    reasons = [_sentence(each) for each in holders[:_SHOWN_HOLDERS]]
    if len(holders) > _SHOWN_HOLDERS:
        reasons.append(f"and {len(holders) - _SHOWN_HOLDERS} more")
    reasons += [f"it is mounted at {each}" for each in mountpoints]
    if not reasons:
        return Failed(
            Code.DATASET_BUSY,
            f"{dataset} is busy, and no process or mount shows why",
            "A stream, a hold or the kernel uses it: try again.",
        )
    return Failed(
        Code.DATASET_BUSY, f"{dataset} is in use: {'; '.join(reasons)}", "Stop what is named here, then try again."
    )


def mount_hangs(what: str, *, by_daemon: bool) -> Failed:
    """`what`: a sentence that names the dataset. `by_daemon`: a zfs-fuse does the mounts, and not the kernel."""
    return Failed(Code.MOUNT_HANGS, what, HANGS_BY_DAEMON if by_daemon else HANGS_IN_KERNEL)


def _sentence(holder: Holder) -> str:
    container = f", container {holder.container_id[:12]}" if holder.container_id else ""
    return f"PID {holder.pid} ({holder.command}{container}) {holder.how}"
