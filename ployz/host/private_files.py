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


def secure_folder(folder: Path) -> list[Path]:
    """A folder with private files, made by whomever: makes those of them private that are not, and returns them.

    `Failed` (PART_FAILED): somebody else owns the folder or may write to it, and so could exchange what is in it.
    """
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Failed(
            Code.PART_FAILED,
            f"{folder} belongs to user {found.st_uid}, with mode {stat.S_IMODE(found.st_mode):o}: "
            "others could exchange what is in it",
            f"chown root: {folder} && chmod go-w {folder}; then look whether its files are what they were.",
        )
    opened = [each for each in sorted(folder.iterdir()) if _is_open(each.lstat())]
    for each in opened:
        each.chmod(_MODE)
    return opened


def _is_open(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & 0o077)


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
