"""Leases as files, and guards as processes that are nobody's children. What a guard kills is in contracts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from ployz.errors import Failed
from ployz.host.guard import now_s, write_killed
from ployz.host.guards import SystemGuards
from tests.dockers import answering

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def docker(tmp_path: Path) -> Iterator[Path]:
    """It knows one container, `db`, which does not run."""
    path = tmp_path / "docker.sock"
    with answering(path, {"/containers/db/json": (200, {"Id": "0db1", "State": {"Running": False}})}):
        yield path


def guards_of(lease: Path) -> list[int]:
    """The processes that were given this lease."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if bytes(lease) in arguments and b"setsid" not in arguments:
                found.append(int(entry.name))
    return found


def until(true: Callable[[], bool]) -> bool:
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_a_guard_is_a_session_of_its_own_and_ends_when_its_container_is_released(tmp_path: Path) -> None:
    guards = SystemGuards(tmp_path / "docker.sock", tmp_path / "leases")
    lease = tmp_path / "leases" / "db"

    async def main() -> None:
        await guards.guard("db", now_s() + 1000.0)
        assert until(lambda: len(guards_of(lease)) == 1)
        assert await guards.guarded() == ("db",)
        (pid,) = guards_of(lease)
        assert os.getsid(pid) != os.getsid(0)
        await guards.renew("db", 12345.5)
        assert await guards.until_s("db") == 12345.5
        await guards.release("db")
        assert await guards.until_s("db") is None
        await guards.release("db")

    anyio.run(main, backend="trio")
    assert until(lambda: not guards_of(lease))


def test_what_a_guard_killed_is_known_until_it_is_released_and_gets_no_new_lease(tmp_path: Path) -> None:
    guards = SystemGuards(tmp_path / "docker.sock", tmp_path)

    async def main() -> None:
        await guards.renew("db", 12345.5)
        assert not await guards.killed("db")
        write_killed(tmp_path / "db")
        assert await guards.killed("db")
        with pytest.raises(Failed, match="killed by its guard"):
            await guards.renew("db", 12345.5)
        await guards.release("db")
        assert not await guards.killed("db")
        await guards.renew("db", 12345.5)
        assert await guards.until_s("db") == 12345.5

    anyio.run(main, backend="trio")


def test_a_lease_that_ends_without_a_container_is_taken_away_by_its_guard(tmp_path: Path) -> None:
    guards = SystemGuards(tmp_path / "docker.sock", tmp_path)
    anyio.run(guards.guard, "db", now_s() + 0.2, backend="trio")
    assert until(lambda: not (tmp_path / "db").exists() and not guards_of(tmp_path / "db"))


@pytest.mark.parametrize("docker_socket", ["docker.sock", "nobody.sock"])
def test_what_could_not_be_killed_later_has_no_guard(tmp_path: Path, docker_socket: str) -> None:
    guards = SystemGuards(tmp_path / docker_socket, tmp_path / "leases")
    with pytest.raises(Failed, match="the guard of web could not be started"):
        anyio.run(guards.guard, "web", now_s() + 1000.0, backend="trio")
    assert until(lambda: not guards_of(tmp_path / "leases" / "web"))
