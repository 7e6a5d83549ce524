from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.install.snapshot_file import FOLDING, SnapshotFile, digest
from ployz.projections.folded import Folded
from ployz.projections.snapshot import Unusable


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
    with pytest.raises(Unusable):
        anyio.run(SnapshotFile(path).read, backend="trio")


def test_a_snapshot_outlives_a_change_that_is_not_one_of_folding(tmp_path: Path) -> None:
    for place in ("projections/view.py", "events/types/facts.py", "ids.py", "cli/main.py", "actors/node.py"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("before")
    before = digest(tmp_path)
    (tmp_path / "cli/main.py").write_text("after")
    (tmp_path / "actors/node.py").unlink()
    assert digest(tmp_path) == before
    for place in ("projections/view.py", "events/types/facts.py", "ids.py"):
        (tmp_path / place).write_text("after")
        assert digest(tmp_path) != before, place
        (tmp_path / place).write_text("before")
        assert digest(tmp_path) == before
    (tmp_path / "events/types/facts.py").rename(tmp_path / "events/types/other.py")
    assert digest(tmp_path) != before


def test_folding_is_made_of_nothing_else() -> None:
    code = (
        "import sys, ployz.projections.folded, ployz.projections.snapshot, ployz.events.codec, ployz.events.replay\n"
        "print(*(each for each in sys.modules if each.startswith('ployz.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "ployz.projections.view" in loaded
    assert {each.split(".")[1] for each in loaded} <= set(FOLDING)
