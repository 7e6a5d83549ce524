"""Kill points: inert unless armed, and there around everything that a step of an operation does."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

import ployz.actors
from ployz import killpoints
from ployz.actors.journal import Journal
from ployz.clock import SystemClock
from ployz.events.feed import Feed
from ployz.events.memory_log import MemoryLog
from ployz.events.types import VolumeUnmounted
from ployz.facts.killable import KillableFactLog
from ployz.facts.memory import MemoryFactLog
from ployz.facts.port import Put, Transaction
from ployz.ids import OperationId, VolumeRef
from ployz.projections.local import LocalView

ACTORS = Path(ployz.actors.__file__).parent
PGDATA = VolumeRef.parse("production/pgdata")


@pytest.fixture(name="_listening")
def _listening(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level("INFO", "ployz.killpoints")
    killpoints.arm(killpoints.LISTEN)
    yield
    killpoints.arm("")


def reached(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().removeprefix("reached ") for record in caplog.records]


def step_actions() -> set[str]:
    """Of every step that the actors perform or record, from their source."""
    found: set[str] = set()
    for path in ACTORS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "names.step":
                action = node.args[0]
                assert isinstance(action, ast.Constant), f"{path}:{node.lineno}: a step without a name of its own"
                found.add(str(action.value))
    return found


def test_nothing_is_killed_or_said_when_no_point_is_armed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ployz.killpoints")
    killpoints.reach("before", "append", "vote.cast")
    assert reached(caplog) == []


def test_the_process_is_killed_when_it_reaches_the_point_for_the_nth_time() -> None:
    program = (
        "from ployz import killpoints; killpoints.arm('before/send:2')\n"
        "for n in range(3): print(n, flush=True); killpoints.reach('before', 'send'); killpoints.reach('after', 'send')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ}, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "0\n1\n"), done.stderr


def test_the_process_is_stopped_at_the_point_once_and_goes_on_when_it_is_told_to() -> None:
    program = (
        "from ployz import killpoints; killpoints.arm('stop@before/send:2')\n"
        "for n in range(4): print(n, flush=True); killpoints.reach('before', 'send')"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "0\n1\n2\n3\n")


@pytest.mark.usefixtures("_listening")
@pytest.mark.parametrize("action", sorted(step_actions()))
def test_a_step_has_a_point_before_and_after_its_intent_and_its_outcome(
    action: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def effect() -> VolumeUnmounted:
        killpoints.reach("effect")
        return VolumeUnmounted(PGDATA)

    async def main() -> None:
        journal = Journal(Feed(MemoryLog(SystemClock())), LocalView())
        await journal.perform(OperationId("op-1"), f"{action}:{PGDATA}", "volume/x", "", effect)

    anyio.run(main, backend="trio")
    assert reached(caplog) == [
        f"before/append/{action}.begun",
        f"after/append/{action}.begun",
        "effect",
        "before/append/volume.unmounted",
        "after/append/volume.unmounted",
    ]


@pytest.mark.usefixtures("_listening")
def test_what_is_said_to_the_authority_has_a_point_before_it_and_one_after_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        log = KillableFactLog(MemoryFactLog(SystemClock()))
        lease = await log.grant(10.0)
        await log.transact(Transaction((), (Put("lock/production", b"x", lease),)))
        await log.revoke(lease)

    anyio.run(main, backend="trio")
    assert reached(caplog) == ["before/transact/lock", "after/transact/lock", "before/revoke", "after/revoke"]
