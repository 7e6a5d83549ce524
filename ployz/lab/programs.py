"""Running the host's programs and waiting for what they bring about, with a deadline and failures in one sentence.

Nothing here knows what a lab is.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ployz.errors import Code, Failed, Refused

POLL_S = 0.02

T = TypeVar("T")


def failed(text: str, advice: str = "") -> Failed:
    return Failed(Code.LAB_FAILED, text, advice)


def refused(text: str, advice: str = "") -> Refused:
    return Refused(Code.LAB_FAILED, text, advice)


def run(argv: Sequence[str], *, stdin: str | Path | None = None, deadline_s: float = 30) -> str:
    """What the program printed. `stdin` is text, or a file to read. `Failed` with the program's own words."""
    source = stdin.open("rb") if isinstance(stdin, Path) else None
    try:
        done = subprocess.run(
            argv,
            stdin=source or (subprocess.DEVNULL if stdin is None else None),
            input=stdin.encode() if isinstance(stdin, str) else None,
            capture_output=True,
            timeout=deadline_s,
            check=False,
        )
    except FileNotFoundError:
        raise failed(f"{argv[0]} is not installed", "Run bin/setup.") from None
    except subprocess.TimeoutExpired:
        raise too_late(argv, deadline_s) from None
    finally:
        if source:
            source.close()
    return printed(argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def printed(argv: Sequence[str], exit_code: int, output: str, complaint: str) -> str:
    if exit_code != 0:
        words = (complaint or output).strip()
        raise failed(f"{' '.join(argv)}: {words or f'exit code {exit_code}'}")
    return output


def too_late(argv: Sequence[str], deadline_s: float) -> Failed:
    return failed(f"{' '.join(argv)}: not done within {deadline_s:g} s")


def side_by_side(action: Callable[[T], None], subjects: Iterable[T]) -> None:
    """Each in a thread; all of them to their end, then the first failure, if any."""
    with ThreadPoolExecutor() as threads:
        outcomes = [threads.submit(action, subject) for subject in subjects]
    for outcome in outcomes:
        outcome.result()


def wait_until(what: str, holds: Callable[[], bool], *, deadline_s: float) -> None:
    """Returns once `holds()`. `Failed`, saying `what` did not come about, after the deadline."""
    end_s = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > end_s:
            raise failed(f"{what}: not within {deadline_s:g} s")
        time.sleep(POLL_S)
