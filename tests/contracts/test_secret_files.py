"""Secrets as files for containers: those of the host, in a tmpfs, and those of a fake."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from ployz.host.fakes.secret_files import FakeSecretFiles
from ployz.host.ports import SecretFile, SecretFiles
from ployz.host.secret_files import SystemSecretFiles
from tests.real import need

Read = Callable[[str, str], tuple[bytes, int, tuple[int, int]]]
"""(content, mode, owner) of a container's file."""
Run = Callable[[Callable[[SecretFiles, Read], Awaitable[None]]], None]

KEY = SecretFile("key", b"correct horse\n", 0o400, (os.getuid(), os.getgid()))
WEB = "production.web.slot-1.op-1"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "secrets"
    yield path
    if path.is_mount():
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture(params=["system", "fake"])
def run(request: pytest.FixtureRequest, folder: Path) -> Run:
    if request.param == "system":
        need("mount", "umount")
    fake = FakeSecretFiles(str(folder))

    def of_system(container: str, name: str) -> tuple[bytes, int, tuple[int, int]]:
        path = folder / container / name
        found = path.stat()
        return path.read_bytes(), found.st_mode & 0o7777, (found.st_uid, found.st_gid)

    def of_fake(container: str, name: str) -> tuple[bytes, int, tuple[int, int]]:
        file = fake.files[container][name]
        return file.content, file.mode, file.owner

    def run_on(body: Callable[[SecretFiles, Read], Awaitable[None]]) -> None:
        if request.param == "system":
            anyio.run(body, SystemSecretFiles(folder), of_system, backend="trio")
        else:
            anyio.run(body, fake, of_fake, backend="trio")

    return run_on


def test_a_file_has_its_content_mode_and_owner(run: Run) -> None:
    async def body(files: SecretFiles, read: Read) -> None:
        assert list(files.containers()) == []
        await files.write(WEB, [KEY])
        assert read(WEB, "key") == (KEY.content, KEY.mode, KEY.owner)
        assert list(files.containers()) == [WEB]

    run(body)


def test_written_again_it_has_the_newer_content(run: Run) -> None:
    async def body(files: SecretFiles, read: Read) -> None:
        for content in (b"old", b"new"):
            await files.write(WEB, [SecretFile("key", content, 0o444, KEY.owner)])
        assert read(WEB, "key")[0] == b"new"

    run(body)


def test_removed_with_its_container_and_twice_is_done(run: Run) -> None:
    async def body(files: SecretFiles, read: Read) -> None:
        await files.write(WEB, [KEY])
        for _ in range(2):
            await files.remove(WEB)
        assert list(files.containers()) == []

    run(body)


def test_they_are_in_memory_behind_a_folder_of_root_alone_and_a_later_ployzd_finds_them(folder: Path) -> None:
    need("mount", "umount")

    async def body() -> None:
        await SystemSecretFiles(folder).write(WEB, [KEY])
        with (folder / WEB / "key").open("rb") as kept:
            await SystemSecretFiles(folder).write(WEB, [SecretFile("key", b"new", 0o400, KEY.owner)])
            assert kept.read() == KEY.content  # whoever has the old file keeps it
        assert list(SystemSecretFiles(folder).containers()) == [WEB]

    anyio.run(body, backend="trio")
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert [each[2] for each in mounts if each[1] == str(folder)] == ["tmpfs"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(each.name for each in (folder / WEB).iterdir()) == ["key"]
