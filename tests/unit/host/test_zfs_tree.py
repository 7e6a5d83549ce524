"""The digest of a tree: what it depends on, and what it reads again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from ployz.host.zfs.tree import TreeDigests

LATER_S = 4_000_000_000.0
"""Every file of a test was changed long before."""


def digest(root: Path, tree: TreeDigests | None = None, created_s: float = LATER_S) -> str:
    return (tree or TreeDigests()).digest(root, created_s, Event())


def grow(root: Path) -> Path:
    (root / "folder" / "empty").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"content" * 1000)
    (root / "file").write_bytes(b"")
    (root / "link").symlink_to("folder/file")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grow(tmp_path / "one")


def test_equal_trees_have_equal_digests_whenever_they_were_made(tree: Path, tmp_path: Path) -> None:
    other = grow(tmp_path / "two")
    os.utime(other / "file", (1, 1))
    assert digest(other) == digest(tree)


def relink(link: Path, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "folder" / "file").write_bytes(b"CONTENT" * 1000),
    "size": lambda root: (root / "file").write_bytes(b"x"),
    "name": lambda root: (root / "file").rename(root / "FILE"),
    "place": lambda root: (root / "file").rename(root / "folder" / "empty" / "file"),
    "mode of the top": lambda root: root.chmod(0o700),
    "mode": lambda root: (root / "file").chmod(0o600),
    "owner": lambda root: os.chown(root / "file", 12, 34),
    "link": lambda root: relink(root / "link", "file"),
    "kind": lambda root: (root / "folder" / "file").rename(root / "fifo"),
    "empty folder": lambda root: (root / "folder" / "empty").rmdir(),
    "more": lambda root: (root / "folder" / "new").touch(),
}


@pytest.mark.parametrize("change", [pytest.param(each, id=name) for name, each in CHANGES.items()])
def test_whatever_changes_changes_the_digest(tree: Path, change: Callable[[Path], object]) -> None:
    remembering = TreeDigests()
    before = digest(tree, remembering)
    change(tree)
    after = digest(tree, remembering)
    assert after != before
    assert after == digest(tree)


def test_a_file_that_did_not_change_is_not_read_again(tree: Path) -> None:
    remembering = TreeDigests()
    before = digest(tree, remembering)
    assert remembering.read_bytes == 7000
    (tree / "file").write_bytes(b"changed")
    assert digest(tree, remembering) != before
    assert remembering.read_bytes == len(b"changed")


def test_a_file_that_had_just_changed_is_read_again(tree: Path) -> None:
    """Within one tick of the clock it may change once more, and look as it did."""
    remembering = TreeDigests()
    file = tree / "folder" / "file"
    found = file.stat()
    before = digest(tree, remembering, created_s=found.st_mtime + 1)
    file.write_bytes(b"CONTENT" * 1000)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert digest(tree, remembering) != before


def sparse(file: Path, size_bytes: int, at: int, *, stored: bool) -> None:
    """A block of data somewhere in zeros, which are a hole, or stored."""
    with file.open("wb") as opened:
        if stored:
            opened.write(bytes(size_bytes))
        opened.truncate(size_bytes)
        opened.seek(at)
        opened.write(b"block")


def test_zeros_are_the_same_whether_they_are_stored_or_a_hole(tree: Path) -> None:
    digests = set()
    for stored in (True, False):
        sparse(tree / "disk", 9 << 20, (5 << 20) + 4096, stored=stored)
        digests.add(digest(tree))
    assert len(digests) == 1
    sparse(tree / "disk", 9 << 20, (6 << 20) + 4096, stored=False)
    assert digest(tree) not in digests


def test_a_hole_is_passed_over_and_not_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Terabytes of it: read, they would take an hour."""
    sparse(tree / "disk", 1 << 42, 1 << 41, stored=False)
    assert len(digest(tree)) == 64
    (tree / "disk").unlink()
    sparse(tree / "disk", 3 << 20, 1 << 20, stored=False)
    known = digest(tree)

    def unknown(file: int, at: int, how: int) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "lseek", unknown)
    assert digest(tree) == known  # a file system that knows of no holes


def test_it_ends_when_nobody_waits_for_it(tree: Path) -> None:
    gone = Event()
    gone.set()
    with pytest.raises(InterruptedError):
        TreeDigests().digest(tree, LATER_S, gone)
