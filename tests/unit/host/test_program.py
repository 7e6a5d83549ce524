"""Running programs: deadlines, process groups, bounded output, and the words of errors."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from ployz.errors import Code, Failed
from ployz.host import program
from ployz.host.program import Output, run
from tests.real import need

T = TypeVar("T")

LONG_S = 30.0


def go(main: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(main, backend="trio")


def sh(script: str, *, deadline_s: float = LONG_S, stdin: bytes | None = None, check: Code | None = None) -> Output:
    return go(lambda: run(["sh", "-c", script], deadline_s=deadline_s, stdin=stdin, check=check))


def test_output_and_exit_code_come_back() -> None:
    assert sh("printf out; printf err >&2; exit 7") == Output(7, b"out", b"err")


def test_standard_input_reaches_the_program_and_ends() -> None:
    content = b"line\n" * 100_000
    assert sh("cat", stdin=content).stdout == content


def test_without_standard_input_a_reader_sees_its_end_at_once() -> None:
    assert sh("cat").stdout == b""


def test_a_program_that_leaves_its_input_unread_is_judged_by_its_exit_code() -> None:
    assert sh("exec 0<&-; exit 3", stdin=b"x" * 1_000_000).exit_code == 3


def test_a_failure_carries_the_code_that_was_asked_for_and_the_programs_own_words() -> None:
    with pytest.raises(Failed) as caught:
        sh("echo 'cannot open  the pod' >&2; echo 'bay doors' >&2; exit 9", check=Code.ZFS_FAILED)
    assert caught.value.code is Code.ZFS_FAILED
    assert "ended with 9: cannot open the pod bay doors" in caught.value.problem.text


def test_a_death_by_signal_is_a_negative_exit_code() -> None:
    assert sh("kill -TERM $$").exit_code == -15


def test_a_missing_program_is_named() -> None:
    with pytest.raises(Failed) as caught:
        go(lambda: run(["no-such-program-here"], deadline_s=LONG_S))
    assert caught.value.code is Code.MISSING_PART
    assert "no-such-program-here" in caught.value.problem.text


def test_a_file_that_cannot_be_executed_is_a_failure_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_text("text")
    with pytest.raises(Failed, match="Permission denied"):
        go(lambda: run([str(path)], deadline_s=LONG_S))


def test_the_locale_is_c_because_texts_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert sh('printf "$LC_ALL"').text == "C"


def test_after_the_deadline_the_whole_process_group_is_dead(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! > {pids}; echo $$ >> {pids}; wait"
    with pytest.raises(Failed) as caught:
        sh(script, deadline_s=0.3)
    assert caught.value.code is Code.TIMED_OUT
    for pid in pids.read_text().split():
        assert dies(int(pid))


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A control group whose processes no signal ends while they are frozen, as in state D."""
    need("sh")
    parent = Path("/sys/fs/cgroup/freezer")
    if not parent.is_dir():
        pytest.skip("only the freezer of control groups version 1 holds up SIGKILL")
    group = parent / f"ployz-test-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        (group / "freezer.state").write_text("THAWED")
        for pid in (group / "cgroup.procs").read_text().split():
            os.waitpid(int(pid), 0)
        group.rmdir()


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a program that cannot be ended is left to itself
def test_a_program_that_no_signal_ends_does_not_hold_up_the_caller(freezer: Path) -> None:
    with pytest.raises(Failed) as caught:
        sh(f"cd {freezer}; echo $$ > cgroup.procs; echo FROZEN > freezer.state; sleep 1000", deadline_s=0.3)
    assert caught.value.code is Code.TIMED_OUT
    assert (freezer / "freezer.state").read_text().strip() != "THAWED"
    del caught
    gc.collect()


def test_cancellation_kills_the_program(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)

    async def main() -> int:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: run(["sh", "-c", f"echo $$ > {ready}; exec sleep 1000"], deadline_s=LONG_S))
            pid = int(await anyio.Path(ready).read_text())
            group.cancel_scope.cancel()
        return pid

    assert not alive(go(main))


def test_a_daemon_that_holds_the_pipes_open_does_not_hold_up_the_caller(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    output = sh(f"setsid sleep 1000 & echo $! > {pid_file}; echo done")
    os.kill(int(pid_file.read_text()), 9)
    assert output == Output(0, b"done\n", b"")


def test_more_output_than_allowed_is_a_failure_and_not_half_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "STDOUT_BYTES_MAX", 1000)
    with pytest.raises(Failed, match="more than 1000 bytes"):
        go(lambda: run([sys.executable, "-c", "print('x' * 2000)"], deadline_s=LONG_S))


def test_long_complaints_are_cut() -> None:
    assert len(sh("head -c 1000000 /dev/zero >&2").stderr) == program.STDERR_BYTES_MAX


def test_bytes_that_are_no_text_survive_the_way_back_into_an_argv() -> None:
    name = sh(r"printf 'a\377b'").text
    assert go(lambda: run(["printf", "%s", name], deadline_s=LONG_S)).stdout == b"a\xffb"


def dies(pid: int) -> bool:
    """What was killed needs a processor once more to be gone."""
    give_up_s = time.monotonic() + 30
    while alive(pid) and time.monotonic() < give_up_s:
        time.sleep(0.01)
    return not alive(pid)


def alive(pid: int) -> bool:
    """A zombie is dead: its parent, the machine's init, may be slow to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
