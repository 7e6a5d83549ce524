from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.install.snapshot_file import SnapshotFile
from ployz.projections.folded import Folded
from ployz.projections.snapshot import UnusableSnapshot


def written(path: Path, *snapshots: Folded) -> SnapshotFile:
    file = SnapshotFile(path)
    for each in snapshots:
        anyio.run(file.write, each, backend="trio")
    return file


def test_the_last_snapshot_written_is_the_one_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.snapshot"
    file = SnapshotFile(path)
    assert anyio.run(file.read, backend="trio") is None
    written(path, Folded(seq=7), Folded(seq=8))
    assert anyio.run(file.read, backend="trio") == Folded(seq=8)
    assert [each.name for each in tmp_path.iterdir()] == ["log.snapshot"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_snapshot_that_cannot_be_written_leaves_the_last_one(tmp_path: Path) -> None:
    file = written(tmp_path / "log.snapshot", Folded(seq=7))
    (tmp_path / "taken").mkdir()
    with pytest.raises(Failed) as failed:
        written(tmp_path / "taken", Folded(seq=8))
    assert failed.value.code is Code.PART_FAILED
    assert anyio.run(file.read, backend="trio") == Folded(seq=7)


@pytest.mark.parametrize("content", [b"", b"\0", b"x" * 1000])
def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.snapshot"
    path.write_bytes(content)
    with pytest.raises(UnusableSnapshot):
        anyio.run(SnapshotFile(path).read, backend="trio")
