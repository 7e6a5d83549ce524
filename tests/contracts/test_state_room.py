"""How full the file system of the state folder is: on a small one that is filled by bytes and by inodes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ployz.errors import Code, Failed
from ployz.install.premises import state_room
from tests.real import need

MIB = 1 << 20


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    need("mount", "umount")
    folder = tmp_path / "state"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=100", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.real
def test_a_file_system_that_is_filled_is_seen_from_a_folder_in_it(mount: Path) -> None:
    folder = mount / "lib" / "ployz"
    folder.mkdir(parents=True)
    empty = state_room(folder)
    assert (empty.mount, empty.size_bytes, empty.files) == (str(mount), 8 * MIB, 100)
    with pytest.raises(OSError, match="No space"):
        (folder / "filler").write_bytes(bytes(9 * MIB))
    assert state_room(folder).free_bytes == 0
    (folder / "filler").unlink()
    assert state_room(folder).free_bytes > 7 * MIB


@pytest.mark.real
def test_a_file_system_without_inodes_is_seen_whatever_room_it_has(mount: Path) -> None:
    def fill() -> None:
        for number in range(200):
            (mount / str(number)).touch()

    with pytest.raises(OSError, match="No space"):
        fill()
    room = state_room(mount)
    assert room.files_free == 0
    assert room.free_bytes > 4 * MIB


def test_a_state_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failed) as refused:
        state_room(tmp_path / "nowhere")
    assert refused.value.problem.code == Code.LOG_FAILED
