"""Mount tables: /proc/PID/mountinfo read into values, and which of its mounts are a dataset's.

Asked instead of the `mounted` property: it costs no process, and it knows every mount namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

from ployz.host.ports import Dataset

_FILESYSTEMS = frozenset({"zfs", "fuse.zfs"})
_ESCAPE = re.compile(r"\\([0-7]{3})")


@frozen
class Mount:
    """One line of mountinfo."""

    id: int
    """What /proc/PID/fdinfo calls `mnt_id`. Unique on the machine, not only in its namespace."""
    device: tuple[int, int]
    mountpoint: str
    readonly: bool
    filesystem: str
    source: str
    shared: int | None
    """The peer group that it passes mounts and unmounts on to; None: none."""
    master: int | None
    """The peer group that it takes mounts and unmounts from; None: none."""

    def is_of(self, dataset: Dataset) -> bool:
        return self.source == dataset and self.filesystem in _FILESYSTEMS

    def covers(self, path: str) -> bool:
        return path == self.mountpoint or path.startswith(self.mountpoint.rstrip("/") + "/")


def parse_mountinfo(text: str) -> list[Mount]:
    """In the order of mounting. See proc(5) for the fields; the ones before '-' vary in number."""
    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        mount_id, _, device, _, mountpoint, options, *optional = left.split(" ")
        groups = dict(each.split(":") for each in optional if ":" in each)
        filesystem, source, *_ = right.split(" ")
        major, _, minor = device.partition(":")
        mounts.append(
            Mount(
                id=int(mount_id),
                device=(int(major), int(minor)),
                mountpoint=_unescape(mountpoint),
                readonly="ro" in options.split(","),
                filesystem=filesystem,
                source=_unescape(source),
                shared=int(groups["shared"]) if "shared" in groups else None,
                master=int(groups["master"]) if "master" in groups else None,
            )
        )
    return mounts


def mounts_of(dataset: Dataset, process: Path) -> list[Mount]:
    """Its mounts in the mount namespace of `process` (`/proc/self`)."""
    return [mount for mount in read_mountinfo(process) if mount.is_of(dataset)]


def read_mountinfo(process: Path) -> list[Mount]:
    return parse_mountinfo((process / "mountinfo").read_text(errors="surrogateescape"))


def innermost(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that a path lies on: the longest mountpoint, and of equal ones the latest, which hides the others."""
    covering = [mount for mount in mounts if mount.covers(path)]
    return max(reversed(covering), key=lambda mount: len(mount.mountpoint), default=None)


def independent(ours: Sequence[Mount], others: Iterable[Mount]) -> list[Mount]:
    """Those of `others` that stay when ours are unmounted.

    The services of a systemd machine live in mount namespaces that take part in what happens in the machine's own:
    their copies come and go with ours.
    """
    others = list(others)
    groups = {mount.shared for mount in ours if mount.shared is not None}
    while more := {each.shared for each in others if each.master in groups and each.shared is not None} - groups:
        groups |= more
    return [each for each in others if each.shared not in groups and each.master not in groups]


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
