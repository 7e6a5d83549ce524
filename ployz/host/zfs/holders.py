"""Who uses a dataset: a look through /proc at every mount namespace and every process of this PID namespace.

A mount that lives on in a container's namespace keeps a dataset alive after `zfs unmount` has said yes.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset, Holder
from ployz.host.zfs.mounts import Mount, independent, innermost, read_mountinfo

T = TypeVar("T")

_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
_MNT_ID = re.compile(r"^mnt_id:\s*(\d+)$", re.MULTILINE)
_MAPPED_DEVICE = re.compile(r"^\S+ \S+ \S+ ([0-9a-f]+):([0-9a-f]+) ", re.MULTILINE)

_GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.EINVAL})
"""What /proc answers about a process that has just ended, or is a zombie."""

_INIT = "1"
"""A sandbox can hide its init even from root. Init lives in the mount namespace that the machine began with: ours."""


def find_holders(dataset: Dataset, own: str, proc: Path = Path("/proc")) -> list[Holder]:
    """`own` names the process (a PID or `self`) in the mount namespace whose mounts are ours.

    One holder a process, lowest PID first. Files are looked at only while the dataset is mounted somewhere, so that
    the look that finds nothing is quick: it is part of every cut-over. Needs root: what may not be read is `Failed`,
    because "nobody" would be a guess.
    """
    namespace_of, mounts_in = _namespaces(proc)
    own_namespace = str((proc / own / "ns/mnt").readlink())
    mounted = {
        namespace: its for namespace, mounts in mounts_in.items() if (its := [m for m in mounts if m.is_of(dataset)])
    }
    everywhere = [mount for mounts in mounted.values() for mount in mounts]
    ours = mounted.pop(own_namespace, [])
    staying = independent(ours, everywhere)
    found: dict[int, Holder] = {}
    for namespace, mounts in mounted.items():
        mount = next((each for each in mounts if each in staying), None)
        if mount is not None:
            first = min(pid for pid, its in namespace_of.items() if its == namespace)
            how = f"has it mounted at {mount.mountpoint} in a mount namespace of its own"
            found[first] = _holder(proc, first, how)
    if everywhere:
        for pid, namespace in namespace_of.items():
            how = next(_uses(proc / str(pid), dataset, everywhere, mounts_in.get(namespace, ())), "")
            if how and pid not in found:
                found[pid] = _holder(proc, pid, how)
    return [found[pid] for pid in sorted(found)]


def _namespaces(proc: Path) -> tuple[dict[int, str], dict[str, Sequence[Mount]]]:
    """Every process' mount namespace, and every namespace's mounts, each read once."""
    namespace_of: dict[int, str] = {}
    mounts_in: dict[str, Sequence[Mount]] = {}
    for process in proc.iterdir():
        if not process.name.isdecimal():
            continue
        namespace = _unless_gone((process / "ns/mnt").readlink, hidden_is_gone=process.name == _INIT)
        if namespace is None:
            continue
        namespace_of[int(process.name)] = str(namespace)
        if str(namespace) not in mounts_in:
            mounts = _unless_gone(lambda: read_mountinfo(process))  # noqa: B023 - called before the loop goes on
            if mounts is not None:
                mounts_in[str(namespace)] = mounts
    return namespace_of, mounts_in


def _uses(process: Path, dataset: Dataset, mounted: Sequence[Mount], visible: Sequence[Mount]) -> Iterator[str]:
    """How this process uses the dataset. Nothing here touches the file system itself, which may hang."""
    for link, how in (("cwd", "works in its folder"), ("root", "has its root in"), ("exe", "runs a program from")):
        path = _unless_gone((process / link).readlink)
        mount = innermost(str(path), visible) if path is not None else None
        if mount is not None and mount.is_of(dataset):
            yield f"{how} {path}"
    ids = {mount.id for mount in mounted}
    for file in _unless_gone(lambda: list((process / "fdinfo").iterdir())) or ():
        mount_id = _MNT_ID.search(_unless_gone(file.read_text) or "")
        if mount_id is not None and int(mount_id[1]) in ids:
            yield f"has the file {_unless_gone((process / 'fd' / file.name).readlink)} open"
    devices = {mount.device for mount in mounted}
    for device in _MAPPED_DEVICE.finditer(_unless_gone((process / "maps").read_text) or ""):
        if (int(device[1], 16), int(device[2], 16)) in devices:
            yield "has a file of it in memory"


def _holder(proc: Path, pid: int, how: str) -> Holder:
    command = _unless_gone((proc / str(pid) / "comm").read_text) or "?"
    container = _CONTAINER_ID.findall(_unless_gone((proc / str(pid) / "cgroup").read_text) or "")
    return Holder(pid=pid, command=command.strip(), container_id=container[-1] if container else None, how=how)


def _unless_gone(read: Callable[[], T], *, hidden_is_gone: bool = False) -> T | None:
    try:
        return read()
    except OSError as error:
        if error.errno in _GONE or (hidden_is_gone and isinstance(error, PermissionError)):
            return None
        raise Failed(
            Code.ZFS_FAILED,
            f"cannot see who uses a dataset: {error.filename}: {error.strerror}",
            "Run ployzd as root.",
        ) from error
