"""The folders that volumes are mounted on: those of the host, and those of a fake."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.host.fakes.folders import FakeFolders
from ployz.host.folders import SystemFolders
from ployz.host.ports import Folders

Modes = Callable[[str], tuple[int, int, int]]
"""(mode, uid, gid) of a folder."""
Run = Callable[[Callable[[Folders, str, Modes], Awaitable[None]]], None]


@pytest.fixture(params=["system", "fake"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    fake = FakeFolders()

    def of_system(path: str) -> tuple[int, int, int]:
        found = Path(path).stat()
        return found.st_mode & 0o7777, found.st_uid, found.st_gid

    def of_fake(path: str) -> tuple[int, int, int]:
        return fake.modes[path], *fake.owners.get(path, (os.getuid(), os.getgid()))

    def run_on(body: Callable[[Folders, str, Modes], Awaitable[None]]) -> None:
        path = str(tmp_path / "volumes" / "production" / "pgdata")
        if request.param == "system":
            anyio.run(body, SystemFolders(), path, of_system, backend="trio")
        else:
            anyio.run(body, fake, path, of_fake, backend="trio")

    return run_on


def test_a_folder_is_made_for_its_owner_alone(run: Run) -> None:
    async def body(folders: Folders, path: str, look: Modes) -> None:
        await folders.ensure(path)
        assert look(path) == (0o700, os.getuid(), os.getgid())

    run(body)


def test_a_folder_that_is_there_stays_as_it_is(run: Run) -> None:
    async def body(folders: Folders, path: str, look: Modes) -> None:
        await folders.ensure(path)
        await folders.own(path, mode=0o755, owner=None)
        await folders.ensure(path)
        assert look(path)[0] == 0o755

    run(body)


def test_mode_and_owner_are_set_where_they_are_given(run: Run) -> None:
    async def body(folders: Folders, path: str, look: Modes) -> None:
        await folders.ensure(path)
        await folders.own(path, mode=None, owner=(os.getuid(), os.getgid()))
        assert look(path) == (0o700, os.getuid(), os.getgid())
        await folders.own(path, mode=0o2750, owner=None)
        assert look(path)[0] == 0o2750

    run(body)


def test_a_folder_that_is_not_there_is_a_failure(run: Run) -> None:
    async def body(folders: Folders, path: str, look: Modes) -> None:
        with pytest.raises(Failed) as failure:
            await folders.own(path, mode=0o755, owner=None)
        assert failure.value.code == Code.PART_FAILED

    run(body)


def test_what_was_written_after_a_time_is_seen_wherever_it_is(tmp_path: Path) -> None:
    async def body() -> None:
        folders, deep = SystemFolders(), tmp_path / "18" / "docker"
        deep.mkdir(parents=True)
        (deep / "old").write_text("from the image")
        for each in (deep / "old", deep, deep.parent):
            os.utime(each, (1_000, 1_000))
        assert not await folders.written_since(str(tmp_path), 2_000_000)
        (deep / "old").write_text("by the program")
        assert await folders.written_since(str(tmp_path), 2_000_000)
        assert not await folders.written_since(str(tmp_path / "none"), 0)
        os.utime(deep / "old", (1_000, 1_000))
        (deep / "away").symlink_to("/")
        os.utime(deep / "away", (1_000, 1_000), follow_symlinks=False)
        os.utime(deep, (1_000, 1_000))
        assert not await folders.written_since(str(tmp_path), 2_000_000)

    anyio.run(body, backend="trio")
