"""Why ployzd does not answer, in its own words: a file beside its socket, for whoever finds nobody at home.

Where it waits for a part of the machine, and when it ends for a reason, it leaves them; when it answers, it takes them
back. The folder is in memory, so that a full disk keeps nobody from saying that it is full.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

_MODE: Final = 0o644
"""Whoever may use the socket may read them."""
_BYTES_MAX: Final = 16 << 10


@frozen
class LastWords:
    text: str
    advice: str
    at: str
    """By the clock of the machine, as it counts: `2026-12-01 03:04:05`."""


def leave(socket: Path, text: str, advice: str = "") -> None:
    """Nothing depends on them: what cannot be written is not said."""
    path = _path(socket)
    part = path.with_suffix(".part")
    with suppress(OSError):
        part.write_text(json.dumps({"text": text, "advice": advice}))
        part.chmod(_MODE)
        part.replace(path)


def take_back(socket: Path) -> None:
    with suppress(OSError):
        _path(socket).unlink(missing_ok=True)


def read(socket: Path) -> LastWords | None:
    try:
        with _path(socket).open("rb") as file:
            found = json.loads(file.read(_BYTES_MAX))
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_path(socket).stat().st_mtime))
        return LastWords(str(found["text"]), str(found["advice"]), at)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path(socket: Path) -> Path:
    return socket.with_suffix(".last-words")
