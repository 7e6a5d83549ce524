"""The guard against a real dockerd: it must end a candidate on time, with and without Docker's help."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ployz.host.guard import READY, guard_argv, now_s, read_lease, was_killed, write_lease
from tests.engines import Engine, busybox_archive
from tests.real import PATIENCE

pytestmark = pytest.mark.real

PATIENCE_S = 20.0 * PATIENCE


@pytest.fixture(name="engine")
def _engine() -> Iterator[Engine]:
    with Engine() as engine:
        engine.docker("load", stdin=busybox_archive("busybox:test"))
        yield engine


@contextmanager
def guard(engine: Engine, container: str, lease: Path) -> Iterator[subprocess.Popen[bytes]]:
    """From when it could kill it."""
    argv = engine.inside(*guard_argv(engine.socket, container, lease))
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == READY
            yield process
        finally:
            process.kill()


def until(true: Callable[[], bool]) -> bool:
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        if true():
            return True
        time.sleep(0.05)
    return False


def start(engine: Engine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "--network", "none", "busybox:test", "sleep", "1000")


def running(engine: Engine, name: str) -> bool:
    return name in engine.docker("ps", "--format", "{{.Names}}").split()


def test_a_candidate_whose_lease_ends_is_killed_and_the_guard_ends(engine: Engine, tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    write_lease(lease, now_s() + 1.0)
    start(engine, "candidate")
    with guard(engine, "candidate", lease) as process:
        assert until(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert not running(engine, "candidate")
    assert was_killed(lease)


def test_a_candidate_that_ended_before_its_lease_leaves_no_word_of_a_kill(engine: Engine, tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    write_lease(lease, now_s() + PATIENCE_S / 2)
    start(engine, "candidate")
    with guard(engine, "candidate", lease) as process:
        engine.docker("kill", "candidate")
        assert until(lambda: process.poll() is not None)
    assert read_lease(lease) is None


def test_a_lease_that_is_renewed_and_then_taken_away_leaves_the_container_alone(engine: Engine, tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    write_lease(lease, now_s() + 1000.0)
    start(engine, "candidate")
    with guard(engine, "candidate", lease) as process:
        for _ in range(4):
            write_lease(lease, now_s() + 1.5)
            assert process.poll() is None
            time.sleep(0.5)
        lease.unlink()
        assert until(lambda: process.poll() is not None)
    assert running(engine, "candidate")


def test_a_guard_of_what_docker_does_not_know_ends_before_it_guards(engine: Engine, tmp_path: Path) -> None:
    write_lease(tmp_path / "lease", now_s() + 1000.0)
    argv = engine.inside(*guard_argv(engine.socket, "candidate", tmp_path / "lease"))
    done = subprocess.run(argv, capture_output=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_candidate_is_killed_while_docker_is_dead(engine: Engine, tmp_path: Path) -> None:
    """Docker dies right after the start, and nobody saw the process before."""
    lease = tmp_path / "lease"
    write_lease(lease, now_s() + 1000.0)
    engine.docker("create", "--name", "candidate", "--network", "none", "busybox:test", "sleep", "1000")
    with guard(engine, "candidate", lease) as process:
        engine.docker("start", "candidate")
        pid = int(engine.docker("inspect", "--format", "{{.State.Pid}}", "candidate"))
        engine.stop()
        write_lease(lease, now_s())
        assert until(lambda: process.poll() is not None)
    assert subprocess.run(engine.inside("test", "-d", f"/proc/{pid}"), check=False).returncode != 0
    engine.start()


def test_a_candidate_that_ran_before_its_guard_is_killed_while_docker_is_dead(engine: Engine, tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    write_lease(lease, now_s() + 1000.0)
    start(engine, "candidate")
    pid = int(engine.docker("inspect", "--format", "{{.State.Pid}}", "candidate"))
    with guard(engine, "candidate", lease) as process:
        engine.stop()
        write_lease(lease, now_s())
        assert until(lambda: process.poll() is not None)
    assert subprocess.run(engine.inside("test", "-d", f"/proc/{pid}"), check=False).returncode != 0
    engine.start()


def test_a_lease_that_cannot_be_read_has_ended(tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    lease.write_text("soon")
    assert read_lease(lease) == 0.0
