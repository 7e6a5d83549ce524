"""Running parts: lanes side by side, each command to its end, its output whole and at once when it has ended.

Also what a command came to: its exit code, and what pytest's closing line says.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from tests.runner.parts import PYTHON, ROOT, Part, Step

UNWIND_S: Final = 90.0
"""After an interruption: for fixtures to take down what they made."""
ENVIRONMENT: Final = {"PYTHONPATH": str(ROOT), "PLOYZ_REAL": "1", "PYTHONDONTWRITEBYTECODE": ""}
"""A real part that is missing fails its tests: nothing is left out unseen. And what one process has compiled, hundreds
after it need not: where the environment forbids that, each compiles 350 modules anew, for a second or two.
"""
_COUNT: Final = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")


@frozen
class Outcome:
    step: str
    took_s: float
    passed: int
    failed: int
    suite: bool
    left_out: tuple[str, ...] = ()
    """Tests that were skipped, as pytest says it."""

    def __str__(self) -> str:
        how = f"{self.passed} passed, {self.failed} failed"
        if not self.suite:
            how = "FAILED" if self.failed else "passed"
        return f"{self.step:<15} {self.took_s:5.0f} s  {how}"


def judged(step: Step, exit_code: int, output: str, took_s: float) -> Outcome:
    """A suite that fails without a test that failed, or runs none, has failed once."""
    if not step.suite:
        return Outcome(step.name, took_s, int(exit_code == 0), int(exit_code != 0), suite=False)
    lines = output.splitlines()
    closing = next((line for line in reversed(lines) if _COUNT.search(line) and " in " in line), "")
    counts = {word.rstrip("s") if word.startswith("error") else word: int(n) for n, word in _COUNT.findall(closing)}
    passed, failed = counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0)
    if exit_code != 0 or not passed:
        failed = max(failed, 1)
    left_out = tuple(f"{step.name}: {line.removeprefix('SKIPPED ')}" for line in lines if line.startswith("SKIPPED "))
    return Outcome(step.name, took_s, passed, failed, suite=True, left_out=left_out)


@define
class Lanes:
    """Of one run. Interrupted, it interrupts what runs, and begins nothing more."""

    folder: Path
    """For the output of what runs."""
    deadline_s: float
    """Of each command; what hangs is interrupted and named."""
    outcomes: list[Outcome] = field(factory=list)
    _began_s: float = field(factory=time.monotonic)
    _turn: threading.Lock = field(factory=threading.Lock)
    _over: threading.Event = field(factory=threading.Event)
    _running: set[subprocess.Popen[bytes]] = field(factory=set)

    def run(self, parts: Sequence[Part]) -> None:
        lanes = {part.lane: [each for each in parts if each.lane is part.lane] for part in parts}
        with ThreadPoolExecutor(max_workers=max(1, len(lanes))) as threads, self._interrupted_together():
            for done in [threads.submit(self._run_lane, lane) for lane in lanes.values()]:
                done.result()

    def _run_lane(self, parts: Sequence[Part]) -> None:
        for part in parts:
            for step in part.steps:
                if not self._over.is_set():
                    self._run_step(step)

    def _run_step(self, step: Step) -> None:
        began_s = time.monotonic()
        self._say(f"{began_s - self._began_s:6.0f} s  {step.name}: {_shown(step)}")
        output = self.folder / f"{step.name}.output"
        argv = [*_nice(step), *PYTHON, "-m", "tests.leftovers", "--beside", str(self.deadline_s)]
        argv += [word.format(folder=self.folder) if word.startswith("{folder}") else word for word in step.argv]
        with (
            output.open("wb") as file,
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT, **step.environment},
                cwd=ROOT,
                process_group=0,
            ) as process,
        ):
            self._running.add(process)
            exit_code = process.wait()
            self._running.discard(process)
        said = output.read_text(errors="replace")
        outcome = judged(step, exit_code, said, time.monotonic() - began_s)
        with self._turn:
            self.outcomes.append(outcome)
            sys.stdout.write(f"\n== {step.name}: {_shown(step)}\n{said}\n{outcome}\n")
            sys.stdout.flush()

    def _say(self, line: str) -> None:
        with self._turn:
            print(line, flush=True)  # noqa: T201 - a command prints

    @contextmanager
    def _interrupted_together(self) -> Iterator[None]:
        """Commands run in process groups of their own, so that each hears of it once, from here, with all its children.

        In one session all the same: Linux weighs sessions against each other, and niceness counts inside of one alone.
        """
        try:
            yield
        except KeyboardInterrupt:
            self._over.set()
            for process in list(self._running):
                os.killpg(process.pid, signal.SIGINT)
            end_s = time.monotonic() + UNWIND_S
            for process in list(self._running):
                try:
                    process.wait(max(0.1, end_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
            raise


def _nice(step: Step) -> Sequence[str]:
    return ("nice", "-n", str(step.nice)) if step.nice else ()


def _shown(step: Step) -> str:
    words = [f"{name}={value}" for name, value in step.environment.items()]
    for word in step.argv:
        path = Path(word)
        words.append(str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else word)
    return " ".join(words)
