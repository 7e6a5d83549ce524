"""A lock that is a folder: it needs no file that would be left behind when the folder goes."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ployz.errors import Failed
from ployz.lab.programs import failed, wait_until

LOCK_S = 120
"""How long one command waits for another on the same lab: longer than any `up`."""


@contextlib.contextmanager
def locked(folder: Path, *, deadline_s: float = LOCK_S) -> Iterator[None]:
    """Holds the folder, which is made if it is not there. `Failed` when someone else has it for too long."""
    descriptors: list[int] = []

    def take() -> bool:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise failed(f"{folder} belongs to someone else", "Remove it, or give the lab another --name.")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                descriptors.append(descriptor)
                return True
        except (BlockingIOError, FileNotFoundError):  # held; or removed by its last holder in this very moment
            pass
        finally:
            if not descriptors:
                os.close(descriptor)
        return False

    try:
        wait_until(f"the lock of {folder}", take, deadline_s=deadline_s)
    except Failed as error:
        raise failed(error.problem.text, "Another bin/lab command works on it; `lsof` names it.") from None
    try:
        yield
    finally:
        os.close(descriptors[0])
