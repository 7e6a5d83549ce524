"""Running mmdebstrap, which makes a tree of Debian's packages: apart from this host, with its steps told."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ployz.lab.programs import failed

LOG_LINES: Final = 25
APART: Final = (
    *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
)

Say = Callable[[str], None]


def host_sources() -> list[str]:
    """The text of every file in which this host names its mirrors."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    return [place.read_text() for place in places if place.suffix in {".list", ".sources"} and place.is_file()]


def run_told(argv: Sequence[str], say: Say, *, what: str, deadline_s: float) -> None:
    """Says the steps that mmdebstrap begins. `what` is made: it completes "… was not built within".

    In namespaces of its own: what it runs and mounts ends with this process, however that ends.
    """
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*APART, *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            errors="replace",
        )
        end_s = time.monotonic() + deadline_s
        try:
            assert process.stderr is not None  # noqa: S101 - it was opened with a pipe
            for line in process.stderr:
                log.write(line)
                if line.startswith("I: "):
                    say(line.removeprefix("I: ").strip())
                if time.monotonic() > end_s:
                    raise failed(f"{what} was not built within {deadline_s:g} s")
            exit_code = process.wait()
        finally:
            process.kill()
            process.wait()
        if exit_code != 0:
            log.seek(0)
            words = "".join(log.readlines()[-LOG_LINES:])
            raise failed(f"mmdebstrap ended with {exit_code}:\n{words}", "Look at the mirrors in /etc/apt, then again.")
