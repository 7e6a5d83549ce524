"""The two groups of this machine whose members may use ployzd without being root."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

from ployz.wire.local_groups import ADMINS, READERS, LocalGroups

MAKE_S: Final = 30.0


def ensure_groups() -> Sequence[str]:
    """Makes those that are missing, without members. What it says: the commands that did not work."""
    there = LocalGroups.of_this_machine()
    missing = [name for name, number in ((READERS, there.readers), (ADMINS, there.admins)) if number is None]
    return [" ".join(argv) for name in missing if not _run(argv := ("groupadd", "--system", name))]


def _run(argv: Sequence[str]) -> bool:
    try:
        return subprocess.run(argv, check=False, capture_output=True, timeout=MAKE_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
