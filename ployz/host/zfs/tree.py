"""The digest of a folder's tree: what is in it, and nothing about when. Read in a thread, and never twice for nothing.

A file whose inode, size and times are those of an earlier digest is not read again: a change of content changes them,
unless it came in the same tick of the clock as the one before. What had just changed is therefore not remembered.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Final

from attrs import define, field, frozen

CHUNK_BYTES: Final = 1 << 20
FILES_MAX: Final = 1_000_000
"""Remembered of one tree. Of a larger one, the rest is read each time."""
TICK_S: Final = 2.0
"""Longer than any: zfs-fuse counts whole seconds."""


@frozen
class _Version:
    """What a file's content cannot change without."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


@define
class TreeDigests:
    """Of one volume, again and again."""

    read_bytes: int = field(default=0, init=False)
    """By the last digest, of the files that it could not know."""
    _known: dict[bytes, tuple[_Version, bytes]] = field(factory=dict, init=False)
    """The content's digest by path, as it was read last."""

    def digest(self, root: Path, created_s: float, nobody_waits: Event) -> str:
        """SHA-256, in hex, of a tree that is as it was at `created_s`.

        `OSError`: it cannot be read. `InterruptedError` is one: `nobody_waits` was set.
        """
        top = root.stat()
        total = hashlib.sha256(f"{top.st_mode} {top.st_uid} {top.st_gid}\n".encode())
        self.read_bytes = 0
        known, self._known = self._known, {}
        for path, entry in _walk(os.fsencode(root), b""):
            if nobody_waits.is_set():
                raise InterruptedError
            found = entry.stat(follow_symlinks=False)
            content = b""
            if stat.S_ISREG(found.st_mode):
                content = self._content(path, entry, known, created_s, nobody_waits)
            elif stat.S_ISLNK(found.st_mode):
                content = os.fsencode(Path(os.fsdecode(entry.path)).readlink())
            size_bytes = found.st_size if stat.S_ISREG(found.st_mode) else 0
            device = found.st_rdev if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode) else 0
            numbers = f"{found.st_mode} {found.st_uid} {found.st_gid} {size_bytes} {device} {len(path)} {len(content)}"
            total.update(numbers.encode() + b"\n" + path + content)
        return total.hexdigest()

    def _content(
        self,
        path: bytes,
        entry: os.DirEntry[bytes],
        known: dict[bytes, tuple[_Version, bytes]],
        created_s: float,
        nobody_waits: Event,
    ) -> bytes:
        found = entry.stat(follow_symlinks=False)
        version = _Version(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        before = known.get(path)
        if before is not None and before[0] == version:
            content = before[1]
        else:
            content = _read(entry.path, nobody_waits)
            self.read_bytes += found.st_size
        if len(self._known) < FILES_MAX and max(found.st_mtime, found.st_ctime) < created_s - TICK_S:
            self._known[path] = (version, content)
        return content


def _read(file: bytes, nobody_waits: Event) -> bytes:
    """Zeros are passed over: where they are stored as such, and where the file has a hole, which is not even read. One
    file has holes here and zeros there, by what compression makes of it.
    """
    digest = hashlib.sha256()
    with Path(os.fsdecode(file)).open("rb", buffering=0) as opened:
        at, size_bytes = 0, os.fstat(opened.fileno()).st_size
        while (at := _next_data(opened.fileno(), at, size_bytes)) < size_bytes:
            chunk = _chunk(opened.fileno(), at)
            if not chunk:
                break
            if chunk.strip(b"\0"):
                digest.update(b"%d %d\n" % (at, len(chunk)))
                digest.update(chunk)
            at += len(chunk)
            if nobody_waits.is_set():
                raise InterruptedError
    return digest.digest()


def _chunk(file: int, at: int) -> bytes:
    """All of it, unless the file ends before."""
    found = bytearray()
    while len(found) < CHUNK_BYTES and (more := os.pread(file, CHUNK_BYTES - len(found), at + len(found))):
        found += more
    return bytes(found)


def _next_data(file: int, at: int, size_bytes: int) -> int:
    """Where the next chunk with any begins: at multiples of their size, so that both sides see the same."""
    try:
        found = os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size_bytes  # a hole to its end
        return at  # a file system that does not know
    return max(at, found - found % CHUNK_BYTES)


def _walk(folder: bytes, below: bytes) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    """Every entry with its path from the root, in an order that depends on nothing but names."""
    waiting = [(folder, below)]
    while waiting:
        folder, below = waiting.pop()
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = below + b"/" + entry.name
            yield path, entry
            if entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, path))
