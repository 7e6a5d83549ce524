"""What a fake dataset holds: files, snapshots that share them, and streams that carry the difference.

Values and plain functions; the rules of ZFS about them are in `zfs.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from attrs import Factory, define, frozen

from ployz import strict
from ployz.host.ports import Dataset, Keep
from ployz.host.zfs import failures

Files = Mapping[str, bytes]

_TOKEN = re.compile(r"1-([0-9a-f]+)-([0-9a-f]{64})")
_MAGIC = b"fake-zfs-stream"
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@define
class Snap:
    name: str
    guid: int
    instant: int
    created_s: int
    files: Files
    holds: set[str] = Factory(set)
    clones: set[str] = Factory(set)


@define
class DatasetContent:
    guid: int
    properties: dict[str, str]
    files: dict[str, bytes] = Factory(dict)
    snapshots: list[Snap] = Factory(list)
    mounted_at: str | None = None
    mounted_readonly: bool = False
    partial: bytes = b""
    """What a receive that was broken off has kept of its stream."""
    ratio: float = 1.0
    """What it was compressed by when it was written here."""

    @property
    def referenced_bytes(self) -> int:
        return int(total_bytes(self.files) / self.ratio)

    def snap(self, name: str) -> Snap | None:
        return next((each for each in self.snapshots if each.name == name), None)

    def used_bytes(self, without: Snap | None = None) -> int:
        """Equal content at one path counts once, however many snapshots share it."""
        versions = [self.files, *(each.files for each in self.snapshots if each is not without)]
        kept = {item for files in versions for item in files.items()}
        return len(self.partial) + sum(len(content) for _, content in kept)

    @property
    def resume_token(self) -> str | None:
        return f"1-{len(self.partial):x}-{_digest(self.partial)}" if self.partial else None


@frozen
class Stream:
    base_guid: int
    """0: in full."""
    guid: int
    name: str
    created_s: int
    changed: Files
    removed: Sequence[str]

    def encode(self) -> bytes:
        body = strict.pack(
            [self.base_guid, self.guid, self.name, self.created_s, dict(self.changed), list(self.removed)]
        )
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def decode(cls, stream: bytes) -> Stream:
        digest, body = stream[len(_MAGIC) : len(_MAGIC) + 32], stream[len(_MAGIC) + 32 :]
        if not stream.startswith(_MAGIC):
            raise failures.stream_failure("cannot receive: failed to read from stream")
        if hashlib.sha256(body).digest() != digest:
            raise failures.stream_failure("cannot receive: invalid backup stream")
        return cls(*strict.unpack(body, limit_bytes=len(body)))


def is_whole(stream: bytes) -> bool:
    """It is no rest of one."""
    return stream.startswith(_MAGIC)


def missing(stream: bytes, token: str) -> bytes | None:
    """What `DatasetContent.resume_token` asks for, if it is a token of this stream."""
    if (parts := _TOKEN.fullmatch(token)) is None:
        return None
    kept = stream[: int(parts[1], 16)]
    return stream[len(kept) :] if _digest(kept) == parts[2] else None


def _digest(kept: bytes) -> str:
    return hashlib.sha256(kept).hexdigest()


def total_bytes(files: Files) -> int:
    return sum(map(len, files.values()))


def difference(before: Files, after: Files) -> Files:
    return {path: content for path, content in after.items() if before.get(path) != content}


def parse_size(text: str) -> int:
    """A size as `zfs set` takes it: `none`, a number, or a number with K, M, G or T."""
    return 0 if text == "none" else int(text.rstrip("KMGT")) * _UNITS.get(text[-1], 1)


def keeps(snapshots: Sequence[Snap]) -> tuple[Keep, ...]:
    held = [Keep(each.name, tag=tag) for each in snapshots for tag in sorted(each.holds)]
    return (*held, *(Keep(each.name, clone=name) for each in snapshots for name in sorted(each.clones)))


def left_bytes(sets: Mapping[Dataset, DatasetContent], free_bytes: int, dataset: Dataset) -> int:
    """The least that the pool or any quota on the way down leaves, but for what bounds its own data alone."""
    left = [free_bytes]
    for name, its in sets.items():
        quota_bytes = parse_size(its.properties.get("quota", "none"))
        if quota_bytes and f"{dataset}/".startswith(f"{name}/"):
            below = [each.used_bytes() for other, each in sets.items() if f"{other}/".startswith(f"{name}/")]
            left.append(quota_bytes - sum(below))
    return max(min(left), 0)


def kept(its: DatasetContent | None, stream: bytes) -> bytes:
    """What the stream is the rest of."""
    if its is None or not its.partial:
        return b""
    if is_whole(stream):
        raise failures.stream_failure('the destination contains partially-complete state from "zfs receive -s"')
    return its.partial


def refusal(sets: Mapping[Dataset, DatasetContent], dataset: Dataset, what: Stream) -> str:
    """Why it cannot be received. Empty: it can."""
    its, parent = sets.get(dataset), dataset.rpartition("/")[0]
    if not what.base_guid:
        if its is not None and not (its.partial and not its.snapshots):
            return f"cannot receive new filesystem stream: destination '{dataset}' exists must specify -F"
        return "" if parent in sets else f"cannot open '{parent}': dataset does not exist"
    if its is None:
        return f"cannot receive incremental stream: destination '{dataset}' does not exist"
    newest = its.snapshots[-1] if its.snapshots else None
    if newest is None or newest.guid != what.base_guid:
        return f"most recent snapshot of {dataset} does not match incremental source"
    if newest.files != its.files:
        return f"destination {dataset} has been modified since most recent snapshot"
    return ""
