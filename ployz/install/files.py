"""Writing a file so that it is there whole, and for good, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ployz.errors import Code, Failed


def write_durably(path: Path, content: str | bytes, *, mode: int) -> None:
    """Replaces `path`, making its folder. `Failed` (PART_FAILED): it could not be written, and is as it was."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise Failed(Code.PART_FAILED, f"{path} cannot be written: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """A rename in it is there for good."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
