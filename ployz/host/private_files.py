"""Files with a secret of this machine: made once, durable, readable by their owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ployz.errors import Code, Failed

_MODE = 0o600


def make_private(path: Path, content: bytes) -> None:
    """Whole or not at all, and never over a file that somebody else made meanwhile (`FileExistsError`)."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_private(path: Path, what: str, code: Code) -> bytes:
    """`what`: `private key`, for the words of `Failed` (`code`): it cannot be read, or others can read it."""
    try:
        mode, content = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except OSError as error:
        raise Failed(code, f"the {what} {path} cannot be read: {error.strerror}", "Restore the file.") from error
    if mode & 0o077:
        raise Failed(
            code,
            f"the {what} {path} can be read by others than its owner",
            f"chmod 600 {path}; if somebody may have read it, remove the machine from the cluster and join it anew.",
        )
    return content
