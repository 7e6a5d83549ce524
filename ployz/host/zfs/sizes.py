"""How large a stream will be, derived from space accounting where `zfs send -nP` does not answer.

Pure. zfs-fuse estimates nothing, and no ZFS estimates a stream to a snapshot that is yet to be taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ployz.errors import Code, Failed
from ployz.host.ports import Dataset, Snapshot
from ployz.host.zfs import parse

PROPERTIES = f"{parse.TREE_PROPERTIES},usedbysnapshots,compressratio,recordsize"
"""Of a dataset and its snapshots: what `estimate` reads. With OpenZFS also `written@BASE`."""

RECORD_HEADER_BYTES = 312
"""What a stream spends on each block besides its content."""

METADATA_BYTES = 64 * 1024
"""About what any change writes besides content, in several copies (folders, indirect blocks): no stream carries it."""


def estimate(dataset: Dataset, tree: Mapping[str, parse.Properties], base: str | None, snapshot: str | None) -> int:
    """Of a plain stream from `base` (None: in full) to `snapshot` (None: to now)."""
    own = tree[dataset]
    snapshots = {
        full.partition("@")[2]: parse.snapshot(full.partition("@")[2], values)
        for full, values in tree.items()
        if full.startswith(f"{dataset}@")
    }
    for name in (base, snapshot):
        if name is not None and name not in snapshots:
            raise Failed(Code.ZFS_FAILED, f"cannot estimate a stream: {dataset}@{name} does not exist")
    content_bytes = parse.number(own, "referenced") if snapshot is None else snapshots[snapshot].referenced_bytes
    if base is not None:
        if f"written@{base}" in own:
            changed_bytes = parse.number(own, f"written@{base}")
        else:
            snapshots_bytes = parse.number(own, "usedbysnapshots")
            changed_bytes = written_bytes(content_bytes, snapshots_bytes, tuple(snapshots.values()), snapshots[base])
        content_bytes = max(changed_bytes - METADATA_BYTES, 0)
    return stream_bytes(content_bytes, compression=parse.ratio(own), record_bytes=parse.number(own, "recordsize"))


def written_bytes(referenced_bytes: int, snapshots_bytes: int, snapshots: Sequence[Snapshot], base: Snapshot) -> int:
    """What the dataset (or its newest snapshot) references that `base` does not: written = now - (base - freed).

    A block lives through consecutive snapshots. `freed` are the blocks that `base` was the last to have. They are
    part of what snapshots alone hold on to (`snapshots_bytes`, the `usedbysnapshots` property), of which the blocks
    that only *another* snapshot holds are none. That is exact with up to two snapshots, which is what a move keeps;
    with more it may be too large by blocks that several older snapshots share, and never too small.
    """
    others_bytes = sum(each.used_bytes for each in snapshots if each.guid != base.guid)
    freed_bytes = max(snapshots_bytes - others_bytes, base.used_bytes)
    return min(max(referenced_bytes - base.referenced_bytes + freed_bytes, 0), referenced_bytes)


def stream_bytes(content_bytes: int, *, compression: float, record_bytes: int) -> int:
    """Of a plain stream, which carries blocks uncompressed, each with a header."""
    logical_bytes = round(content_bytes * compression)
    return logical_bytes + logical_bytes // record_bytes * RECORD_HEADER_BYTES
