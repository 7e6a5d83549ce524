"""A lab for the time of one command: up with its images, and down again however the command ends.

When the command fails, the machines' logs are kept at a place that is named; when it is interrupted, nothing is.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ployz.lab.cli import POOL_SIZE
from ployz.lab.images.load import load
from ployz.lab.lab import Lab
from ployz.lab.programs import refused
from ployz.lab.state import LabName
from ployz.lab.termination import termination_as_interrupt

MACHINES = 3
KEPT_LOGS = Path("/var/tmp/ployz-logs")  # noqa: S108 - written by root, below a folder that root makes with 0700


@contextmanager
def temporary_lab(
    name: str,
    images: Sequence[str],
    say: Callable[[str], None],
    *,
    pool_size: str = POOL_SIZE,
    machines: int = MACHINES,
    keep: bool = False,
) -> Iterator[Lab]:
    """So many machines in one cluster. `keep`: they stay up if all went well.

    `Refused` when this command runs already: it would lose its lab.
    """
    lab = Lab(LabName(name), say=say)
    with _alone(name), termination_as_interrupt():
        done = False
        try:
            lab.down()  # what a run that was killed, or kept, left behind
            lab.up(machines, pool_size=pool_size, bare=False)
            load(lab, images, list(lab.state().machines))
            yield lab
            done = True
        except Exception:
            say(f"the logs of the machines are kept in {_keep_logs(lab)}")
            raise
        finally:
            if not (done and keep):
                say("taking the lab down")
                lab.down()


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Held by a socket without a file, so that nothing is left of it, whatever happens."""
    with socket.socket(socket.AF_UNIX) as token:
        try:
            token.bind(f"\0ployz-lab-command-{name}")
        except OSError:
            raise refused(f"this command is running already, on the lab {name!r}", "Wait for its end.") from None
        yield


def _keep_logs(lab: Lab) -> Path:
    """In place of those of the last failure."""
    kept = KEPT_LOGS / lab.name
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(mode=0o700, parents=True)
    for logs in lab.folder.glob("machine-*/logs"):
        shutil.copytree(logs, kept / logs.parent.name)
    return kept
