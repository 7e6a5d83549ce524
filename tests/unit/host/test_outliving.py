from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.host.outliving import Outliving, launch_argv

SLEEPS = "import sys, time; print('up', flush=True); time.sleep(600)"


def program(folder: Path, *, code: str = SLEEPS) -> Outliving:
    mark = str(folder / "its.conf")
    return Outliving("sleeper", folder, (sys.executable, "-c", code, mark), mark)


@pytest.fixture(name="sleeper")
def _sleeper(tmp_path: Path) -> Iterator[Outliving]:
    found = program(tmp_path)
    yield found
    if (pid := found.pid()) is not None:
        os.killpg(pid, signal.SIGKILL)


def run(*calls: object) -> None:
    async def main() -> None:
        for call in calls:
            await call()  # type: ignore[operator]

    anyio.run(main, backend="trio")


def test_it_is_started_once_and_found_again_by_whoever_comes_next(sleeper: Outliving) -> None:
    run(sleeper.start)
    first = sleeper.pid()
    assert first is not None
    again = program(sleeper.folder)
    run(again.start)
    assert again.pid() == first


def test_it_outlives_the_process_that_started_it(sleeper: Outliving) -> None:
    code = (
        "import anyio, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.host.test_outliving import program\n"
        "anyio.run(program(Path(sys.argv[1])).start, backend='trio')\n"
    )
    root = Path(__file__).parents[3]
    argv = [sys.executable, "-c", code, str(sleeper.folder)]
    subprocess.run(argv, check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    pid = sleeper.pid()
    assert pid is not None
    assert os.getsid(pid) == pid


def test_it_is_stopped_and_stopping_it_again_is_done(sleeper: Outliving) -> None:
    async def stop() -> None:
        await sleeper.stop(grace_s=5.0)

    run(sleeper.start, stop, stop)
    assert sleeper.pid() is None


def test_one_that_does_not_go_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    )
    stubborn = program(tmp_path, code=code)

    async def stop() -> None:
        while not ready.exists():  # noqa: ASYNC110 - the other program makes it
            await anyio.sleep(0.01)
        await stubborn.stop(grace_s=0.1)

    run(stubborn.start, stop)
    assert stubborn.pid() is None


def test_another_process_of_that_number_is_not_taken_for_it(sleeper: Outliving) -> None:
    (sleeper.folder / "sleeper.pid").write_text(f"{os.getpid()}\n")
    assert sleeper.pid() is None
    assert not sleeper.signal(signal.SIGTERM)


def test_one_that_cannot_start_says_why_in_its_own_words(tmp_path: Path) -> None:
    absent = Outliving("absent", tmp_path, ("ployz-no-such-program", "mark"), "mark")

    async def start() -> None:
        with pytest.raises(Failed) as failure:
            await absent.start()
        assert failure.value.code == Code.PART_FAILED
        assert "not found" in failure.value.problem.text

    run(start)


def test_a_shell_that_is_about_to_become_the_program_is_not_yet_a_start(tmp_path: Path) -> None:
    """On a busy host it is met for long: the words of the failure come later than its number."""
    absent = Outliving("absent", tmp_path, ("ployz-no-such-program", "mark"), "mark")
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "mv").write_text('#!/bin/sh\n/bin/mv "$@"\nsleep 0.3\n')
    (slow / "mv").chmod(0o755)

    async def start() -> None:
        with pytest.raises(Failed, match="not found"):
            await absent.start()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
        run(start)


def test_where_systemd_runs_it_is_in_a_scope_of_its_own(sleeper: Outliving) -> None:
    argv = launch_argv(sleeper, with_systemd=True)
    assert argv[:4] == ("setsid", "--fork", "systemd-run", "--scope")
    assert "--unit=ployz-sleeper" in argv
    assert "systemd-run" not in launch_argv(sleeper, with_systemd=False)
